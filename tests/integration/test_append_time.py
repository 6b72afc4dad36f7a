"""Records stamped by the broker's clock: no clock of a process decides what Kafka accepts."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTimestampError
from aiokafka.producer.message_accumulator import BatchBuilder

from cli.commands.migrate import migrate_database
from cli.sandbox.kafka import kafka
from cli.settings import Settings
from contracts.topics import DEAD_LETTERS, IMPORT_EVENTS, LOG_SEALS, SYNC_REQUESTS, TOPICS
from messaging.append_time import append_time_command, use_append_time
from messaging.clocks import WrongClockError
from messaging.cloudevents import Record
from messaging.dead_letters.records import dead_letter
from messaging.dead_letters.resolution import read_letters, retry
from messaging.publisher import CommittedPosition, TransactionalPublisher
from messaging.raw_record import RawRecord
from messaging.requests import ORDERED_AT, producing
from messaging.topic_reader import open_topic_reader, record_at
from messaging.topics import declare_replay, declare_topics
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.dead_letter_topic import small_producer, topics

pytestmark = pytest.mark.asyncio

LOG_APPEND_TIME = 1
THEN_MS = 1_000_000_000_000
"""In the year 2001."""
REPLAY = "test-replay"
OLD_RETENTION = str(7 * 24 * 60 * 60 * 1000)


def now_ms() -> int:
    return int(time.time() * 1000)


def two_hours_ahead() -> int:
    """The time stamp of a process whose clock is wrong."""
    return now_ms() + 2 * 60 * 60 * 1000


async def database_clock() -> datetime:
    return datetime.now(UTC)


def is_now(timestamp_ms: int) -> bool:
    return abs(timestamp_ms - now_ms()) < 60_000


@pytest_asyncio.fixture
async def admin(broker: KnownBroker) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await client.start()
    yield client
    await client.close()


async def configs(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Return the settings of a topic, as soon as the broker knows it."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    async with asyncio.timeout(30):
        while True:
            (answer,) = await admin.describe_configs([resource])
            if found := {name: value for name, value, *_ in answer.resources[0][4]}:
                return found
            await asyncio.sleep(0.05)


async def declare(broker: KnownBroker) -> None:
    await declare_topics(broker.connection, partitions=2, replication_factor=1, retention_days=1)
    await declare_replay(broker.connection, REPLAY, partitions=2, replication_factor=1)


async def read(broker: KnownBroker, place: Any) -> RawRecord:
    async with open_topic_reader(broker.connection) as reader:
        record = await record_at(reader, TopicPartition(place.topic, place.partition), place.offset)
        assert record is not None
        return record


async def test_topics_of_an_older_version_are_altered_and_lose_nothing(
    broker: KnownBroker, admin: AIOKafkaAdminClient
) -> None:
    broker.needs(Can.LOG_APPEND_TIME)
    older = {"retention.ms": OLD_RETENTION}
    await admin.create_topics(
        [NewTopic(topic, 2, 1, topic_configs=older) for topic in (*TOPICS, REPLAY)]
    )
    async with producing(broker.connection) as producer:
        before = await producer.send_and_wait(IMPORT_EVENTS, b"x", timestamp_ms=THEN_MS)
        with pytest.raises(InvalidTimestampError):
            await producer.send_and_wait(IMPORT_EVENTS, b"x", timestamp_ms=two_hours_ahead())
        await declare(broker)
        for topic in (*TOPICS, REPLAY):
            sent = await producer.send_and_wait(
                topic, b"x", key=b"compacted", timestamp_ms=two_hours_ahead()
            )
            record = await read(broker, sent)
            assert (record.timestamp_type, is_now(record.timestamp)) == (LOG_APPEND_TIME, True)
            found = await configs(admin, topic)
            assert found["retention.ms"] == OLD_RETENTION, "as its operator has set it"
    assert (await read(broker, before)).timestamp == THEN_MS


async def test_migrate_alters_existing_topics_and_creates_none(
    broker: KnownBroker, admin: AIOKafkaAdminClient, database_url: str
) -> None:
    broker.needs(Can.LOG_APPEND_TIME)
    await declare(broker)
    older = {"message.timestamp.type": "CreateTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, LOG_SEALS, older)])
    await admin.delete_topics([REPLAY])
    settings = Settings(database_url=database_url, kafka_bootstrap_servers=broker.address)
    await migrate_database(settings)
    assert (await configs(admin, LOG_SEALS))["message.timestamp.type"] == "LogAppendTime"
    assert REPLAY not in await admin.list_topics()


async def test_migrate_does_without_kafka(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(database_url=database_url, kafka_bootstrap_servers="127.0.0.1:1")
    await migrate_database(settings)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("the topics at 127.0.0.1:1 were not checked")


async def test_new_topics_are_stamped_by_the_broker(
    broker: KnownBroker, admin: AIOKafkaAdminClient
) -> None:
    broker.needs(Can.LOG_APPEND_TIME)
    name = f"test-replay-{uuid4()}"
    await declare(broker)
    await declare_replay(broker.connection, name, partitions=2, replication_factor=1)
    for topic in (*TOPICS, name):
        assert (await configs(admin, topic))["message.timestamp.type"] == "LogAppendTime"


async def test_topics_are_declared_again_without_a_warning(
    broker: KnownBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Also on the sandbox's broker: it keeps the publishers' time stamps."""
    caplog.set_level(logging.DEBUG, "messaging")
    for _ in range(2):
        await declare(broker)
    other = await broker.a_topic()
    await declare_replay(broker.connection, other, partitions=2, replication_factor=1)
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


async def test_the_sandbox_reports_once_that_its_broker_keeps_the_producers_time_stamps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cli.sandbox.kafka")
    async with kafka(log_path=tmp_path / "kafka.log") as address:
        for _ in range(2):
            await declare(KnownBroker("sandbox", address))
    assert [r.levelno for r in caplog.records if "LogAppendTime" in r.message] == [logging.DEBUG]


async def test_a_request_of_a_process_ahead_is_ordered_by_the_brokers_clock(
    broker: KnownBroker,
) -> None:
    """Through the dead letters and back: they keep the time at which the broker received it."""
    broker.needs(Can.LOG_APPEND_TIME)
    await declare(broker)
    claim = [(ORDERED_AT, str(two_hours_ahead()).encode())]
    async with (
        open_topic_reader(broker.connection) as reader,
        producing(broker.connection) as producer,
    ):
        came = await read(
            broker,
            await producer.send_and_wait(
                SYNC_REQUESTS, b"no JSON", headers=claim, timestamp_ms=two_hours_ahead()
            ),
        )
        assert is_now(came.timestamp)
        await dead_letter(producer, came, "no ids")
        (letter,) = [
            one
            for one in (await read_letters(reader, DEAD_LETTERS)).open()
            if (one.partition, one.offset) == (came.partition, came.offset)
        ]
        assert letter.first_received_ms == letter.timestamp_ms == came.timestamp
        assert came.timestamp <= letter.dead_lettered_ms
        assert is_now(letter.dead_lettered_ms)
        again = await read(broker, await retry(reader, producer, letter))
        assert dict(again.headers)[ORDERED_AT] == str(came.timestamp).encode()
        assert again.timestamp >= came.timestamp
        resolved = (await read_letters(reader, DEAD_LETTERS)).get(letter.name)
        assert resolved is not None
        assert resolved.resolutions[0].at_ms >= letter.dead_lettered_ms


async def test_a_cut_letter_is_retried_although_its_topic_was_altered_since(
    broker: KnownBroker, admin: AIOKafkaAdminClient
) -> None:
    """The original is recognised by its unchanged time stamp."""
    broker.needs(Can.LOG_APPEND_TIME)
    body = bytes(range(256)) * 2000
    async with topics(broker.address) as place, small_producer(broker.address) as small:
        came = await place.came(body, timestamp_ms=THEN_MS)
        letter = await place.dead_letter_of(came, by=small)
        assert (letter.truncated, letter.first_received_ms) == (True, THEN_MS)
        await use_append_time(broker.connection, admin, [place.requests, place.letters])
        again = await place.retry(letter)
    assert again.value == body
    assert is_now(again.timestamp)
    assert dict(again.headers)[ORDERED_AT] == str(THEN_MS).encode()


async def test_a_refused_time_stamp_names_the_clock_and_the_command(broker: KnownBroker) -> None:
    """On a topic that could not be altered."""
    broker.needs(Can.LOG_APPEND_TIME)
    topic = await broker.a_topic()
    async with producing(broker.connection, database_clock) as producer:
        with pytest.raises(WrongClockError) as raised:
            await producer.send_and_wait(topic, b"x", timestamp_ms=two_hours_ahead())
    text = str(raised.value)
    assert "the clock of this process agrees with the database's" in text
    assert append_time_command(broker.connection, topic) in text


async def test_a_refused_time_stamp_of_the_relay_names_the_clock(
    broker: KnownBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.needs(Can.LOG_APPEND_TIME)
    topic = await broker.a_topic()
    publisher = TransactionalPublisher(
        broker.connection, topic, f"test-{uuid4()}", True, database_clock
    )
    async with publisher.opened() as opened:
        create = opened._producer.create_batch

        def ahead() -> BatchBuilder:
            batch = create()
            append = batch.append

            def append_ahead(*, timestamp: None, **record: Any) -> Any:
                return append(timestamp=two_hours_ahead(), **record)

            monkeypatch.setattr(batch, "append", append_ahead)
            return batch

        monkeypatch.setattr(opened._producer, "create_batch", ahead)
        with pytest.raises(WrongClockError, match="the clock of this process agrees"):
            await opened.send([Record(b"key", b"x", [])], CommittedPosition(1, "note"))
