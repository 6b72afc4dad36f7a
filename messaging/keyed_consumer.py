"""Concurrent intake: records are worked on at once, those of one lane in order.

A partition's offset is committed only below its oldest record in hand, so a slow record holds back
the commits of its partition and nothing else. What a crash or a rebalance takes out of our hands
comes again; records are handled at least once.

A partition that is not assigned any more is neither worked on nor committed. That includes records
that were fetched before a rebalance and are handed over after it began: aiokafka commits nothing at
all if one of the partitions is not assigned.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaRouter

from messaging.backoff import retry_until_success
from messaging.batch_consumer import Membership, RawRecord, subscribe_raw
from messaging.offsets import OpenOffsets

logger = logging.getLogger(__name__)

_COMMIT_PAUSE_SECONDS = 0.05
"""Between two commits: what ends meanwhile is committed together."""
_FAILED_COMMIT_SECONDS = 1.0
_LAST_COMMIT_SECONDS = 3.0
"""What a commit may take while others wait for us to let go of our partitions."""


class KeyedTask(NamedTuple):
    """What a record asks for."""

    key: Hashable
    """Jobs of one lane are done one after the other, in the order in which they were taken."""
    run: Callable[[], Awaitable[None]]
    """Ends when the record has been dealt with; while it raises it is called again, in a while."""


class _InFlight(NamedTuple):
    record: RawRecord
    task: KeyedTask
    offsets: OpenOffsets

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


class KeyedConsumer:
    """A member of a consumer group that works on many records of a topic at once.

    Args:
        job_of: reads a record. If it raises, the record stays in hand, and so uncommitted.
        at_once: jobs that run at the same time.
        in_hand: records beyond which no more are taken until half of them have ended; the consumer
            stays in its group meanwhile, since its partitions are only paused.
    """

    def __init__(
        self,
        topic: str,
        task_of: Callable[[RawRecord], KeyedTask],
        *,
        membership: Membership,
        concurrency: int,
        in_flight: int,
    ) -> None:
        self._topic = topic
        self._membership = membership
        self._task_of = task_of
        self._slots = asyncio.Semaphore(concurrency)
        self._most = in_flight
        self._in_flight = 0
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned: set[TopicPartition] = set()
        self._partitions: dict[TopicPartition, OpenOffsets] = {}
        self._queues: dict[Hashable, deque[_InFlight]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._draining = False
        self._rebalances = 0
        self._assignment_is_known = asyncio.Event()
        self._assignment_is_known.set()

    def router(self) -> KafkaRouter:
        """The FastStream router to be included in the application's broker."""
        router = KafkaRouter()
        subscribe_raw(
            router,
            self._topic,
            self._take,
            membership=self._membership,
            max_records=max(1, self._most // 2),
            listener=self.listener(),
            committed=True,
        )
        return router

    def listener(self) -> ConsumerRebalanceListener:
        """Has to be called by the consumer before and after every rebalance."""
        return _Rebalances(self._revoke, self._assign)

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """Those assigned to this member."""
        return frozenset(self._assigned)

    async def is_through(self, partition: TopicPartition, end: int) -> bool:
        """Whether all records of a partition below an offset are done, and committed.

        A partition may end in what is no record, such as the end of a transaction: nobody takes
        it, and so it is not committed.
        """
        known = self._partitions.get(partition)
        if self._consumer is None or (known is not None and known.due is not None):
            return False
        if known is not None and known.are_open:
            return False
        try:
            return bool(await self._consumer.position(partition) >= end)
        except KafkaError:  # it is not ours any more
            return False

    async def commit(self) -> None:
        """Commit as records end, for ever."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            if await self._commit(self._partitions):
                await asyncio.sleep(_COMMIT_PAUSE_SECONDS)
            else:
                self._ended.set()
                await asyncio.sleep(_FAILED_COMMIT_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Take no more; let running jobs end within the time, hand back the rest; commit.

        To be called before the consumer leaves its group. What is handed back comes again, here
        or to another member.
        """
        self._draining = True
        self._assignment_is_known.set()
        self._pause()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            if unfinished:
                logger.warning("%s: %d records are handed back", self._topic, len(unfinished))
        await self._commit_in_time(self._partitions)

    async def _take(self, consumer: AIOKafkaConsumer, records: Sequence[RawRecord]) -> None:
        self._consumer = consumer
        for record in await self._still_ours(consumer, records):
            if self._draining:
                return
            partition = TopicPartition(record.topic, record.partition)
            offsets = self._partitions.setdefault(partition, OpenOffsets())
            offsets.take(record.offset)
            self._in_flight += 1
            self._enqueue(_InFlight(record, self._read(record), offsets))
        if self._in_flight >= self._most:
            self._pause()

    async def _still_ours(
        self, consumer: AIOKafkaConsumer, records: Sequence[RawRecord]
    ) -> Sequence[RawRecord]:
        """The records that no rebalance has taken away since they were fetched.

        A rebalance sets the position of each partition back to what was committed. So a record at
        or beyond the position was fetched before the rebalance, and comes again.
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
                    positions[partition] = 0  # it is not ours any more
        return [r for r in records if r.offset < positions[TopicPartition(r.topic, r.partition)]]

    def _read(self, record: RawRecord) -> KeyedTask:
        try:
            return self._task_of(record)
        except Exception as error:
            return KeyedTask(object(), partial(_fail, error))

    def _enqueue(self, item: _InFlight) -> None:
        key = item.task.key
        if key in self._queues:
            self._queues[key].append(item)
            return
        self._queues[key] = deque([item])
        task = asyncio.create_task(self._work_through(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_through(self, key: Hashable) -> None:
        waiting = self._queues[key]
        try:
            while waiting and not self._draining:
                async with self._slots:
                    await self._do(waiting[0])
                waiting.popleft()
        finally:
            del self._queues[key]

    async def _do(self, item: _InFlight) -> None:
        record = item.record
        what = f"{record.topic}/{record.partition}@{record.offset}"

        async def run() -> None:
            if self._partitions.get(item.partition) is item.offsets:
                await item.task.run()

        await retry_until_success(what, run, on=lambda _: True)
        item.offsets.end(record.offset)
        self._in_flight -= 1
        self._ended.set()
        if self._in_flight <= self._most // 2:
            self._resume()

    def _pause(self) -> None:
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def _resume(self) -> None:
        if self._consumer is not None and not self._draining and self._consumer.paused():
            self._consumer.resume(*self._consumer.paused())

    async def _revoke(self, revoked: Iterable[TopicPartition]) -> None:
        """Let go of partitions: commit what has ended, begin nothing that is left."""
        self._assignment_is_known.clear()
        self._assigned.difference_update(revoked)
        gone = {tp: self._partitions.pop(tp) for tp in revoked if tp in self._partitions}
        await self._commit_in_time(gone)

    async def _assign(self, assigned: Iterable[TopicPartition]) -> None:
        self._assigned.update(assigned)
        self._rebalances += 1
        self._assignment_is_known.set()

    async def _commit_in_time(self, partitions: Mapping[TopicPartition, OpenOffsets]) -> None:
        try:
            async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                await self._commit(partitions)
        except TimeoutError:
            logger.warning("%s: offsets were not committed in time, some repeat", self._topic)

    async def _commit(self, partitions: Mapping[TopicPartition, OpenOffsets]) -> bool:
        """Commit what is due; False if the broker did not take it."""
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
        known = {tp: partitions[tp] for tp in due}  # others may come and go meanwhile
        try:
            await self._consumer.commit(due)
        except KafkaError as error:
            # A rebalance is under way or the broker is away: what is not committed comes again.
            logger.info("%s: offsets were not committed: %s", self._topic, error)
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
