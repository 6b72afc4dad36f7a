"""The backlog of a group is what lies beyond its commits, on either broker."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from cli.sandbox.kafka import kafka
from messaging import backlog
from messaging.backlog import PartitionBacklog, read_backlog
from messaging.requests import producing
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker

pytestmark = pytest.mark.asyncio


async def commit(broker: KnownBroker, group: str, topic: str, offset: int) -> None:
    """Commit an offset of partition 1, as a member of the group does."""
    partition = TopicPartition(topic, 1)
    member = AIOKafkaConsumer(bootstrap_servers=broker.address, group_id=group)
    member.assign([partition])
    await member.start()
    await member.commit({partition: offset})
    await member.stop()


async def test_the_backlog_begins_at_the_first_record_that_is_not_committed(
    broker: KnownBroker,
) -> None:
    topic, group = await broker.a_topic(), f"group-{uuid4()}"
    async with producing(broker.connection) as producer:
        for _ in range(3):
            await producer.send_and_wait(topic, b"x", partition=1)
    found = await read_backlog(broker.connection, topic, group)
    assert (found[1], found[2]) == (PartitionBacklog(0, 3), PartitionBacklog(None, 0))
    for committed, first in ((2, 2), (3, None)):
        await commit(broker, group, topic, committed)
        found = await read_backlog(broker.connection, topic, group)
        assert found[1] == PartitionBacklog(first, 3)


async def test_a_missing_topic_has_no_backlog(broker: KnownBroker) -> None:
    assert await read_backlog(broker.connection, f"topic-{uuid4()}", "anybody") == {}


async def test_neither_a_marker_nor_an_aborted_record_waits_for_the_group(
    broker: KnownBroker,
) -> None:
    broker.needs(Can.TRANSACTIONS)
    topic, group = await broker.a_topic(), f"group-{uuid4()}"
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.address, transactional_id=f"producer-{uuid4()}"
    )
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"x", partition=1)
    await commit(broker, group, topic, 1)
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"aborted", partition=1)
    await producer.abort_transaction()
    await producer.stop()
    found = await read_backlog(broker.connection, topic, group)
    assert found[1] == PartitionBacklog(None, 4)


async def test_a_broker_that_goes_away_is_an_error_and_no_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation that nobody asked for would end the process that looks."""
    monkeypatch.setattr(backlog, "PATIENCE_SECONDS", 1.0)
    look = backlog._look
    async with AsyncExitStack() as servers:
        address = await servers.enter_async_context(kafka(log_path=tmp_path / "kafka.log"))
        known = KnownBroker("sandbox", address)

        async def stop_the_broker_first(
            consumer: AIOKafkaConsumer, unknown: set[TopicPartition]
        ) -> Any:
            await servers.aclose()
            consumer.assign(unknown)  # anew: it may have had an answer before the end
            return await look(consumer, unknown)

        monkeypatch.setattr(backlog, "_look", stop_the_broker_first)
        with pytest.raises(KafkaError):
            await read_backlog(known.connection, await known.a_topic(), "anybody")
