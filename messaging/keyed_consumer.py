"""A consumer that processes many records concurrently, in order per ordering key.

The committed offset of a partition is never beyond its oldest record in flight. So a slow record
delays the commits of its partition and nothing else. Records are processed at least once: after a
crash or a rebalance, the records in flight are delivered again.

Records of a revoked partition are neither processed nor committed. This includes records that were
fetched before a rebalance but delivered after it began: aiokafka rejects a whole commit if one of
its partitions is not assigned.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaRouter

from contracts.outage_text import describe_outage
from contracts.wording import counted
from messaging.backoff import retry_until_success
from messaging.batch_consumer import Membership, subscribe_raw
from messaging.in_flight import InFlight
from messaging.keyed_queues import KeyedQueues
from messaging.offsets import OpenOffsets
from messaging.raw_record import RawRecord

logger = logging.getLogger(__name__)

_COMMIT_PAUSE_SECONDS = 0.05
"""Pause between two commits, so that one commit covers many records."""
_FAILED_COMMIT_SECONDS = 1.0
_LAST_COMMIT_SECONDS = 3.0
"""Time limit for the commit of a rebalance: the other members wait for it."""


class KeyedTask(NamedTuple):
    """The work that one record requires."""

    key: Hashable
    """The ordering key: tasks with the same key run one after the other, in order of receipt."""
    run: Callable[[], Awaitable[None]]
    """Processes the record. It is called again, with backoff, until it returns."""


class _Taken(NamedTuple):
    record: RawRecord
    task: KeyedTask
    offsets: OpenOffsets

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


class KeyedConsumer:
    """A member of a consumer group that processes many records of a topic concurrently.

    Include `router()` in the application's broker, run `commit()` as a task while the broker runs,
    and call `drain()` before the broker stops.

    Args:
        task_of: reads a record. If it raises, the record stays in flight and is never committed.
        concurrency: tasks that run at the same time, at most.
        in_flight: with this many records in flight, consumption pauses until half of them have
            ended. The consumer stays in its group, because its partitions are only paused.
        in_flight_bytes: the same for their bytes. The last batch may exceed it by one fetch:
            about 1 MiB for each partition, or one record.
    """

    def __init__(
        self,
        topic: str,
        task_of: Callable[[RawRecord], KeyedTask],
        *,
        membership: Membership,
        concurrency: int,
        in_flight: int,
        in_flight_bytes: int,
    ) -> None:
        self._topic = topic
        self._membership = membership
        self._task_of = task_of
        self._batch = max(1, in_flight // 2)
        self._in_flight = InFlight(max_records=in_flight, max_bytes=in_flight_bytes)
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned: set[TopicPartition] = set()
        self._partitions: dict[TopicPartition, OpenOffsets] = {}
        self._queues = KeyedQueues(self._process, concurrency)
        self._ended = asyncio.Event()
        self._number_ended = 0
        self._draining = False
        self._rebalances = 0
        self._assignment_is_known = asyncio.Event()
        self._assignment_is_known.set()

    def router(self) -> KafkaRouter:
        """Return the FastStream router to include in the application's broker."""
        router = KafkaRouter()
        subscribe_raw(
            router,
            self._topic,
            self._take,
            membership=self._membership,
            max_records=self._batch,
            listener=self.listener(),
            committed=True,
        )
        return router

    def listener(self) -> ConsumerRebalanceListener:
        """Return the listener that the consumer must call before and after every rebalance."""
        return _Rebalances(self._revoke, self._assign)

    @property
    def in_flight(self) -> InFlight:
        """The records that were taken and have not ended."""
        return self._in_flight

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """The partitions assigned to this member."""
        return frozenset(self._assigned)

    def progress_of_others(self, partition: TopicPartition) -> int | None:
        """Return how many records have ended here, if a partition can only wait for others.

        That is while its oldest record waits for a slot, or for room to be taken. Otherwise it has
        to make progress by itself, and this returns None.
        """
        known = self._partitions.get(partition)
        if known is None or not known.are_open:
            waits = self._consumer is not None and bool(self._consumer.paused())
        else:
            waits = known.oldest_waits
        return self._number_ended if waits else None

    async def is_through(self, partition: TopicPartition, end: int) -> bool:
        """Return whether all records of a partition below an offset are processed and committed.

        The last offsets of a partition may belong to markers, such as the end of a transaction.
        They are never delivered, so this compares the consumer's position, not the commit.
        """
        known = self._partitions.get(partition)
        if self._consumer is None or (known is not None and known.due is not None):
            return False
        if known is not None and known.are_open:
            return False
        try:
            return bool(await self._consumer.position(partition) >= end)
        except KafkaError:  # it is no longer assigned
            return False

    async def commit(self) -> None:
        """Commit offsets whenever records have ended. Runs until cancelled."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            if await self._commit(self._partitions):
                await asyncio.sleep(_COMMIT_PAUSE_SECONDS)
            else:
                self._ended.set()
                await asyncio.sleep(_FAILED_COMMIT_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Stop consuming, give running tasks some seconds to end, cancel the rest, and commit.

        Call this before the consumer leaves its group. Unfinished records are delivered again,
        to this or another member.
        """
        self._draining = True
        self._assignment_is_known.set()
        self._pause()
        await self._queues.drain(seconds)
        if self._in_flight.records:
            logger.warning(
                "%s: %s handed back", self._topic, counted(self._in_flight.records, "record")
            )
        await self._commit_in_time(self._partitions)

    async def _take(self, consumer: AIOKafkaConsumer, records: Sequence[RawRecord]) -> None:
        self._consumer = consumer
        for record in await self._still_ours(consumer, records):
            if self._draining:
                return
            partition = TopicPartition(record.topic, record.partition)
            offsets = self._partitions.setdefault(partition, OpenOffsets())
            offsets.take(record.offset)
            self._in_flight.add(record)
            task = self._read(record)
            self._queues.add(task.key, _Taken(record, task, offsets))
        self._pause_if_full()

    async def _still_ours(
        self, consumer: AIOKafkaConsumer, records: Sequence[RawRecord]
    ) -> Sequence[RawRecord]:
        """Return the records whose partitions no rebalance has revoked since they were fetched.

        A rebalance resets the position of each partition to the committed offset. So a record at
        or beyond the position was fetched before the rebalance, and will be fetched again.
        """
        positions: dict[TopicPartition, int] = {}
        seen = None
        while seen != self._rebalances:
            await self._assignment_is_known.wait()
            seen = self._rebalances
            for partition in {TopicPartition(r.topic, r.partition) for r in records}:
                try:
                    positions[partition] = await consumer.position(partition)
                except KafkaError:
                    positions[partition] = 0  # it is no longer assigned
        return [r for r in records if r.offset < positions[TopicPartition(r.topic, r.partition)]]

    def _read(self, record: RawRecord) -> KeyedTask:
        try:
            return self._task_of(record)
        except Exception as error:
            return KeyedTask(object(), partial(_fail, error))

    async def _process(self, item: _Taken) -> None:
        record = item.record
        what = f"{record.topic}/{record.partition}@{record.offset}"

        async def run() -> None:
            # A failing record gives its slot to others until its next attempt.
            async with self._queues.slot():
                if self._partitions.get(item.partition) is item.offsets:
                    item.offsets.start(record.offset)
                    await item.task.run()

        await retry_until_success(what, run, on=lambda _: True)
        item.offsets.end(record.offset)
        self._number_ended += 1
        self._in_flight.remove(record)
        self._ended.set()
        if self._in_flight.has_room:
            self._resume()

    def _pause_if_full(self) -> None:
        if self._in_flight.is_full:
            self._pause()

    def _pause(self) -> None:
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def _resume(self) -> None:
        if self._consumer is not None and not self._draining and self._consumer.paused():
            self._consumer.resume(*self._consumer.paused())

    async def _revoke(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit the records that have ended, and start no other record of these partitions."""
        self._assignment_is_known.clear()
        self._assigned.difference_update(revoked)
        gone = {tp: self._partitions.pop(tp) for tp in revoked if tp in self._partitions}
        await self._commit_in_time(gone)

    async def _assign(self, assigned: Iterable[TopicPartition]) -> None:
        self._assigned.update(assigned)
        self._rebalances += 1
        self._pause_if_full()  # aiokafka does not keep a pause over a new assignment
        self._assignment_is_known.set()

    async def _commit_in_time(self, partitions: Mapping[TopicPartition, OpenOffsets]) -> None:
        try:
            async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                await self._commit(partitions)
        except TimeoutError:
            logger.warning(
                "%s: offsets were not committed in time, so some records repeat", self._topic
            )

    async def _commit(self, partitions: Mapping[TopicPartition, OpenOffsets]) -> bool:
        """Commit the due offsets; return False if the broker refused."""
        if self._consumer is None:
            return True
        ours = self._consumer.assignment()
        due = {
            tp: known.due
            for tp, known in partitions.items()
            if tp in ours and known.due is not None
        }
        if not due:
            return True
        known = {tp: partitions[tp] for tp in due}  # a rebalance may change `partitions` meanwhile
        try:
            await self._consumer.commit(due)
        except KafkaError as error:
            # A rebalance is under way, or the broker is down: uncommitted records come again.
            logger.info(
                "%s: offsets were not committed, so some records repeat: %s",
                self._topic,
                describe_outage(error),
            )
            return False
        for tp, offset in due.items():
            known[tp].committed(offset)
        return True


async def _fail(error: Exception) -> None:
    raise error


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    def __init__(
        self,
        revoke: Callable[[Iterable[TopicPartition]], Awaitable[None]],
        assign: Callable[[Iterable[TopicPartition]], Awaitable[None]],
    ) -> None:
        self._revoke = revoke
        self._assign = assign

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._revoke(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._assign(assigned)
