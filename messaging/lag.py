"""How far a consumer group is behind its topic, asked of the broker and not of the group."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.access import explaining
from messaging.connection import KafkaConnection


class PartitionLag(NamedTuple):
    """One partition, as the broker knows it."""

    committed: int
    """Offset below which every record has been dealt with."""
    end: int
    """Offset after the newest record. The sandbox's broker may tell less."""

    @property
    def behind(self) -> int:
        """Records that were not dealt with."""
        return max(0, self.end - self.committed)


class GroupLag:
    """Asks for the lag of a group, without being a member of it. Made by `watching_lag`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def look(self, partitions: Iterable[TopicPartition]) -> Mapping[int, PartitionLag]:
        """By the number of the partition."""
        wanted = list(partitions)
        begins = await self._consumer.beginning_offsets(wanted)
        ends = await self._consumer.end_offsets(wanted)
        committed = {tp: await self._consumer.committed(tp) for tp in wanted}
        return {
            # What lay before the beginning is gone, and waits for nobody.
            tp.partition: PartitionLag(max(committed[tp] or 0, begins[tp]), ends[tp])
            for tp in wanted
        }


@asynccontextmanager
async def watching_lag(kafka: KafkaConnection, group_id: str) -> AsyncIterator[GroupLag]:
    """A connection for looking at a group while the block runs.

    Raises:
        aiokafka.errors.KafkaError: the broker is not there.
    """
    consumer = AIOKafkaConsumer(**kafka.arguments(), group_id=group_id, enable_auto_commit=False)
    try:
        async with explaining(kafka):
            await consumer.start()
        yield GroupLag(consumer)
    finally:
        await consumer.stop()
