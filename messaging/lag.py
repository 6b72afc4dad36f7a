"""The lag of a consumer group, as the broker reports it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.access import explaining
from messaging.closing import close_consumer
from messaging.connection import KafkaConnection


class PartitionLag(NamedTuple):
    """Offsets of one partition, as the broker reports them."""

    committed: int
    """Every record below this offset has been processed."""
    end: int
    """Offset after the newest record. The sandbox's broker may report a lower one."""

    @property
    def behind(self) -> int:
        """Number of records that have not been processed."""
        return max(0, self.end - self.committed)


class GroupLag:
    """Reads the lag of a group without joining it. Create it with `watching_lag`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def look(self, partitions: Iterable[TopicPartition]) -> Mapping[int, PartitionLag]:
        """Return the lag by partition number."""
        wanted = list(partitions)
        begins = await self._consumer.beginning_offsets(wanted)
        ends = await self._consumer.end_offsets(wanted)
        committed = {tp: await self._consumer.committed(tp) for tp in wanted}
        return {
            # Deleted records before the beginning do not count as lag.
            tp.partition: PartitionLag(max(committed[tp] or 0, begins[tp]), ends[tp])
            for tp in wanted
        }


@asynccontextmanager
async def watching_lag(kafka: KafkaConnection, group_id: str) -> AsyncIterator[GroupLag]:
    """Connect to the broker to read the lag of a group while the block runs.

    async with watching_lag(kafka, "spreaview-worker") as lag: await lag.look(partitions)

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    consumer = AIOKafkaConsumer(**kafka.arguments(), group_id=group_id, enable_auto_commit=False)
    try:
        async with explaining(kafka):
            await consumer.start()
        yield GroupLag(consumer)
    finally:
        await close_consumer(consumer)
