"""Reads topics from beginning to end, without a consumer group."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError

from messaging import aiokafka_patches as fetching
from messaging.access import explaining
from messaging.closing import close_admin, close_consumer
from messaging.connection import PREFIX, KafkaAccessError, KafkaConnection
from messaging.raw_record import RawRecord

PATIENCE_SECONDS = 15.0
"""A broker without any progress for this long counts as not answering."""

_POLL_MS = 100


class TopicReader(NamedTuple):
    """The clients of this module's functions; use them for one call at a time."""

    consumer: AIOKafkaConsumer
    """Without a group; each call assigns the partitions it needs."""
    admin: AIOKafkaAdminClient
    """Lists the partitions of any topic, which a consumer cannot do."""


@asynccontextmanager
async def open_topic_reader(kafka: KafkaConnection) -> AsyncIterator[TopicReader]:
    """Open a reader, and close it at the end of the block.

    async with open_topic_reader(kafka) as reader: partitions = await partitions_of(reader, topic)

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    fetching.mend()
    consumer = AIOKafkaConsumer(
        **kafka.arguments(),
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,  # else every empty partition costs half a second
    )
    admin = AIOKafkaAdminClient(**kafka.arguments())
    try:
        async with explaining(kafka):
            await consumer.start()
            await admin.start()
        yield TopicReader(consumer, admin)
    finally:
        await asyncio.gather(close_consumer(consumer), close_admin(admin))


class UnknownTopicError(KafkaAccessError):
    """The broker does not have a topic, or does not show it to us."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"Kafka does not have the topic {topic}, or this user may not DESCRIBE it. Remedy: "
            f"check the ACLs of this user and {PREFIX}BOOTSTRAP_SERVERS; a worker that starts "
            "creates the topic",
            f"{PREFIX}BOOTSTRAP_SERVERS",
        )


async def known_partitions_of(reader: TopicReader, topic: str) -> list[TopicPartition]:
    """Return every partition of a topic, in order. Raises `UnknownTopicError`."""
    partitions = await partitions_of(reader, topic)
    if not partitions:
        raise UnknownTopicError(topic)
    return partitions


async def partitions_of(reader: TopicReader, topic: str) -> list[TopicPartition]:
    """Return every partition of a topic, in order; an empty list if there is no such topic.

    Describes all topics, because a broker may create a topic that is requested by its name.
    """
    described = await reader.admin.describe_topics()
    return sorted(
        TopicPartition(topic, partition["partition"])
        for found in described
        if found["topic"] == topic
        for partition in found["partitions"]
    )


async def to_the_end(
    reader: TopicReader,
    partitions: list[TopicPartition],
    *,
    starts: Mapping[TopicPartition, int] | None = None,
) -> AsyncIterator[RawRecord]:
    """Yield all records, or the records from `starts` on, in order per partition, then end.

    A partition ends at the high water mark of its first fetch, so every record that existed at the
    start is read. Memory is limited to one answer of the broker, about 1 MiB per partition.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer, or stops answering.
    """
    consumer = reader.consumer
    consumer.assign(partitions)
    for partition, start in (starts or {}).items():
        consumer.seek(partition, start)
    ends: dict[TopicPartition, int] = {}
    places: dict[TopicPartition, int] = {}
    unfinished = set(partitions)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_SECONDS
    while unfinished:
        for records in (await consumer.getmany(*unfinished, timeout_ms=_POLL_MS)).values():
            for record in records:
                yield record
        for partition in list(unfinished):
            end = consumer.highwater(partition)
            if end is None:
                continue  # no answer yet
            place = await consumer.position(partition)
            if places.get(partition) != place:
                places[partition] = place
                give_up = loop.time() + PATIENCE_SECONDS
            if place >= ends.setdefault(partition, end):
                unfinished.remove(partition)
        if loop.time() > give_up:
            raise silent(unfinished)


async def record_at(
    reader: TopicReader, partition: TopicPartition, offset: int
) -> "RawRecord | None":
    """Return the record with this offset, or None if it does not exist yet or was deleted.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    consumer = reader.consumer
    consumer.assign([partition])
    consumer.seek(partition, offset)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=1)
                for record in found.get(partition, ()):
                    return record if record.offset == offset else None
                end = consumer.highwater(partition)
                if end is not None and await consumer.position(partition) >= end:
                    return None
    except TimeoutError as error:
        raise silent({partition}) from error


class SilentPartitionError(KafkaTimeoutError):  # type: ignore[misc]  # aiokafka is untyped
    """Partitions brought nothing for too long; the text names them."""

    def __str__(self) -> str:
        return str(self.args[0])


def silent(partitions: set[TopicPartition]) -> SilentPartitionError:
    """Return the error for partitions that bring nothing."""
    named = ", ".join(sorted(f"{p.topic}/{p.partition}" for p in partitions))
    return SilentPartitionError(f"nothing came from {named} for {PATIENCE_SECONDS:.0f} s")
