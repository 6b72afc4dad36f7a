"""The broker of the tests is a real Apache Kafka, with features that the sandbox's broker lacks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.apache_kafka import own_broker

pytestmark = pytest.mark.asyncio

READ_SECONDS = 30.0
LOG_APPEND_TIME = 1
THEN_MS = 1_000_000_000_000  # in the year 2001


@asynccontextmanager
async def admin(address: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=address)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def a_topic(
    address: str, partitions: int = 1, configs: dict[str, str] | None = None
) -> AsyncIterator[str]:
    name = f"test-{uuid4()}"
    async with admin(address) as client:
        answer = await client.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        assert [code for _, code, *_ in answer.topic_errors] == [0]
        yield name
        await client.delete_topics([name])


@pytest_asyncio.fixture
async def topic(apache_kafka: str) -> AsyncIterator[str]:
    async with a_topic(apache_kafka) as name:
        yield name


@asynccontextmanager
async def reading(address: str, topic: str, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer at the beginning of a topic's only partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", isolation_level=isolation
    )
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def values(
    address: str, topic: str, number: int, isolation: str = "read_committed"
) -> list[bytes]:
    async with reading(address, topic, isolation) as consumer, asyncio.timeout(READ_SECONDS):
        return [(await consumer.getone()).value for _ in range(number)]


async def test_the_broker_answers(apache_kafka: str) -> None:
    async with admin(apache_kafka) as client:
        assert (await client.describe_cluster())["brokers"]


async def test_an_idempotent_producer_works(apache_kafka: str, topic: str) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=apache_kafka, enable_idempotence=True
    ) as producer:
        sent = [await producer.send_and_wait(topic, b"%d" % n) for n in range(3)]
    assert [record.offset for record in sent] == [0, 1, 2]
    assert await values(apache_kafka, topic, 3) == [b"0", b"1", b"2"]


async def test_read_committed_shows_committed_records_and_no_aborted_ones(
    apache_kafka: str, topic: str
) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=apache_kafka, transactional_id=f"test-{uuid4()}"
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")

    assert await values(apache_kafka, topic, 1) == [b"committed"]
    everything = await values(apache_kafka, topic, 2, "read_uncommitted")
    assert everything == [b"aborted", b"committed"]


async def test_log_append_time_is_set_by_the_broker(apache_kafka: str) -> None:
    stamped = {"message.timestamp.type": "LogAppendTime"}
    async with a_topic(apache_kafka, configs=stamped) as topic:
        async with AIOKafkaProducer(bootstrap_servers=apache_kafka) as producer:
            await producer.send_and_wait(topic, b"x", timestamp_ms=THEN_MS)
        async with (
            reading(apache_kafka, topic, "read_committed") as consumer,
            asyncio.timeout(READ_SECONDS),
        ):
            record = await consumer.getone()
    assert record.timestamp_type == LOG_APPEND_TIME
    assert abs(record.timestamp / 1000 - time.time()) < 60


async def test_a_lone_consumer_gets_every_partition_of_its_group(apache_kafka: str) -> None:
    async with (
        a_topic(apache_kafka, partitions=12) as topic,
        AIOKafkaConsumer(
            topic, bootstrap_servers=apache_kafka, group_id=f"test-{uuid4()}"
        ) as consumer,
    ):
        assert len(consumer.assignment()) == 12


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_a_broker_comes_back_with_its_port_and_its_data(tmp_path: Path, ending: str) -> None:
    async with own_broker(tmp_path) as broker:
        address = broker.address
        async with a_topic(address) as topic:
            async with AIOKafkaProducer(bootstrap_servers=address) as producer:
                await producer.send_and_wait(topic, b"kept")

            await (broker.stop() if ending == "stop" else broker.kill())
            host, _, port = address.rpartition(":")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, int(port))

            await broker.start()
            assert broker.address == address
            assert await values(address, topic, 1) == [b"kept"]
