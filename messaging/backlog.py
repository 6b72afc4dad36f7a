"""The backlog of a consumer group: the records beyond its committed offsets."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.access import explaining
from messaging.closing import close_consumer
from messaging.connection import KafkaConnection
from messaging.topic_reader import (
    PATIENCE_SECONDS,
    open_topic_reader,
    partitions_of,
    silent,
)

_POLL_MS = 100
_FETCH_BYTES = 64 * 1024
"""Only the first record of a partition matters; a larger batch comes whole."""


class PartitionBacklog(NamedTuple):
    """One partition."""

    first: int | None
    """Offset of the first record that the group has not committed; None if all are committed."""
    end: int
    """High water mark: every record of the partition lies below it."""

    def is_below(self, offset: int) -> bool:
        """Whether a record below this offset waits for the group."""
        return self.first is not None and self.first < offset


async def read_backlog(
    kafka: KafkaConnection, topic: str, group_id: str
) -> Mapping[int, PartitionBacklog]:
    """Return the backlog of a group by partition; empty if there is no such topic.

    Fetches from the committed offsets without joining the group. The sandbox's broker reports
    `end_offsets` too low, and a group never commits the marker at the end of a transaction: a
    comparison of offsets alone would be wrong in both cases.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    async with open_topic_reader(kafka) as reader:
        partitions = await partitions_of(reader, topic)
    if not partitions:
        return {}
    consumer = AIOKafkaConsumer(
        **kafka.arguments(),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # as the workers read: an aborted record waits for nobody
        fetch_max_wait_ms=_POLL_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        async with explaining(kafka):
            await consumer.start()
        consumer.assign(partitions)
        return await _look(consumer, set(partitions))
    finally:
        await close_consumer(consumer)


async def _look(
    consumer: AIOKafkaConsumer, unknown: set[TopicPartition]
) -> dict[int, PartitionBacklog]:
    found: dict[int, PartitionBacklog] = {}
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_SECONDS
    while unknown:
        fetched = await consumer.getmany(*unknown, timeout_ms=_POLL_MS)
        is_late = loop.time() > give_up
        for partition in list(unknown):
            end = consumer.highwater(partition)
            if end is None:
                if is_late:
                    raise silent({partition})
                continue  # no answer yet
            records = fetched.get(partition)
            place = await consumer.position(partition)
            if records or place >= end or is_late:
                # Late: a transaction that is still open hides the records from here on.
                waiting = place if place < end else None
                first = records[0].offset if records else waiting
                found[partition.partition] = PartitionBacklog(first, end)
                unknown.remove(partition)
    return found
