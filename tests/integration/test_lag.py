"""The lag of a group, as the broker reports it."""

from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from messaging.connection import KafkaConnection
from messaging.lag import watching_lag
from messaging.requests import producing
from tests.support.brokers import KnownBroker
from tests.support.brokers import broker as broker

pytestmark = pytest.mark.asyncio


async def test_the_lag_of_a_group_by_partition(broker: KnownBroker) -> None:
    topic, group = await broker.a_topic(), f"group-{uuid4()}"
    one, other = TopicPartition(topic, 1), TopicPartition(topic, 2)
    async with producing(KafkaConnection(broker.address)) as producer:
        for _ in range(3):
            await producer.send_and_wait(topic, b"x", partition=1)
    async with watching_lag(KafkaConnection(broker.address), group) as lag:
        found = await lag.look([one, other])
        assert (found[1].behind, found[2].behind) == (3, 0)
        member = AIOKafkaConsumer(
            bootstrap_servers=broker.address, group_id=group, enable_auto_commit=False
        )
        member.assign([one])
        await member.start()
        await member.commit({one: 2})
        await member.stop()
        found = await lag.look([one, other])
        assert (found[1].committed, found[1].behind) == (2, 1)


async def test_deleted_records_do_not_count_as_lag(apache_kafka: str) -> None:
    topic = await KnownBroker("apache", apache_kafka).a_topic()
    partition = TopicPartition(topic, 1)
    async with producing(KafkaConnection(apache_kafka)) as producer:
        for _ in range(5):
            await producer.send_and_wait(topic, b"x", partition=1)
    group = f"group-{uuid4()}"
    member = AIOKafkaConsumer(
        bootstrap_servers=apache_kafka, group_id=group, enable_auto_commit=False
    )
    member.assign([partition])
    await member.start()
    await member.commit({partition: 2})
    await member.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=apache_kafka)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=5)})
    await admin.close()
    async with watching_lag(KafkaConnection(apache_kafka), group) as lag:
        assert (await lag.look([partition]))[1].behind == 0
