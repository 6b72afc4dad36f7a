"""Reading topics from their beginning to their end, without a consumer group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from messaging.intake import RawRecord

PATIENCE_SECONDS = 30.0
"""Without any progress for this long, a broker counts as not answering."""

_POLL_MS = 100


@asynccontextmanager
async def reading(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group and, as yet, no partition, for the functions of this module.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,  # else every empty partition costs half a second
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Every partition of a topic, in order; none if there is no such topic, and none is made."""
    await consumer.topics()
    numbers = consumer.partitions_for_topic(topic) or ()
    return [TopicPartition(topic, number) for number in sorted(numbers)]


async def to_the_end(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> AsyncIterator[RawRecord]:
    """Every record there is, in order per partition, then an end.

    Where a partition ends is what the broker says with the first answer to a fetch from it (its
    high water mark): what was there when the reading began is read. No more is held than what the
    broker gives at once, at most about 1 MiB per partition.

    Raises:
        aiokafka.errors.KafkaError: also when the broker falls silent on the way.
    """
    consumer.assign(partitions)
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
            raise _silent(unfinished)


async def record_at(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int
) -> "RawRecord | None":
    """The record with this offset, or None: not there yet, or not any more.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
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
        raise _silent({partition}) from error


def _silent(partitions: set[TopicPartition]) -> KafkaTimeoutError:
    named = ", ".join(sorted(f"{p.topic}/{p.partition}" for p in partitions))
    return KafkaTimeoutError(f"nothing came from {named} for {PATIENCE_SECONDS:.0f} s")
