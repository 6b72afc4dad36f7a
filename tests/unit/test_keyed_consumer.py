"""The keyed consumer commits safely across rebalances; these tests need no broker."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaTimeoutError

from messaging.batch_consumer import Membership
from messaging.keyed_consumer import KeyedConsumer, KeyedTask
from messaging.raw_record import RawRecord

pytestmark = pytest.mark.asyncio

KEPT, LOST = TopicPartition("topic", 0), TopicPartition("topic", 1)
MOST_BYTES = 1000
UNREADABLE = b"unreadable"


@dataclass
class Record:
    """The fields of a record that the keyed consumer reads. All have the same ordering key."""

    partition: int
    offset: int
    topic: str = "topic"
    value: bytes | None = None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class Consumer:
    """An aiokafka consumer whose assignment and positions the test changes."""

    assigned: set[TopicPartition] = field(default_factory=set)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    paused_now: set[TopicPartition] = field(default_factory=set)
    is_broker_away: bool = False

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused_now.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused_now.difference_update(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self.paused_now)

    async def position(self, partition: TopicPartition) -> int:
        self._must_be_assigned(partition)
        return self.positions[partition]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition in offsets:
            self._must_be_assigned(partition)
        if self.is_broker_away:
            raise KafkaTimeoutError
        self.committed |= offsets

    def _must_be_assigned(self, partition: TopicPartition) -> None:
        if partition not in self.assigned:
            raise IllegalStateError(f"Partition {partition} is not assigned")


class Member:
    """A keyed consumer in a group that the test rebalances; its tasks note their records."""

    def __init__(self, concurrency: int = 4) -> None:
        self.consumer = Consumer()
        self.done: list[tuple[int, int]] = []
        self.when_done: Callable[[], None] = lambda: None
        self.tries = 0
        self.is_failing = False
        self.may_work = asyncio.Event()
        self.may_work.set()
        self.keyed = KeyedConsumer(
            "topic",
            self._task_of,
            membership=Membership("group"),
            concurrency=concurrency,
            in_flight=50,
            in_flight_bytes=MOST_BYTES,
        )
        self._listener = self.keyed.listener()

    def _task_of(self, record: RawRecord) -> KeyedTask:
        if record.value == UNREADABLE:
            raise ValueError  # so its task has a key of its own, and never succeeds

        async def work() -> None:
            self.tries += 1
            await self.may_work.wait()
            if self.is_failing:
                raise RuntimeError
            self.done.append((record.partition, record.offset))
            self.when_done()

        return KeyedTask("key", work)

    async def assign(self, *partitions: TopicPartition) -> None:
        self.consumer.assigned = set(partitions)
        self.consumer.paused_now.clear()  # a new assignment is not paused
        self.consumer.positions = {tp: self.consumer.committed.get(tp, 0) for tp in partitions}
        await self._listener.on_partitions_assigned(partitions)

    async def revoke(self, *partitions: TopicPartition) -> None:
        await self._listener.on_partitions_revoked(partitions)

    def fetch(self, *records: Record) -> list[Record]:
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            self.consumer.positions[partition] = record.offset + 1
        return list(records)

    async def hand_over(self, batch: list[Record]) -> None:
        consumer = cast("AIOKafkaConsumer", self.consumer)
        await self.keyed._take(consumer, cast("list[RawRecord]", batch))

    async def has_ended(self) -> None:
        """Wait until no task runs."""
        while self.keyed._queues._tasks:
            await asyncio.wait(self.keyed._queues._tasks)

    async def commit(self) -> bool:
        return await self.keyed._commit(self.keyed._partitions)


@pytest_asyncio.fixture
async def member() -> Member:
    member = Member()
    await member.assign(KEPT, LOST)
    return member


async def test_a_batch_delivered_during_a_rebalance_does_not_stop_later_commits(
    member: Member,
) -> None:
    await member.hand_over(member.fetch(Record(0, 0), Record(1, 0)))
    await member.has_ended()
    fetched_before = member.fetch(Record(1, 1))
    await member.revoke(KEPT, LOST)
    handing_over = asyncio.create_task(member.hand_over(fetched_before))
    await asyncio.sleep(0)
    await member.assign(KEPT)
    await handing_over
    await member.hand_over(member.fetch(Record(0, 1)))
    await member.has_ended()
    assert await member.commit()
    assert member.consumer.committed == {KEPT: 2, LOST: 1}
    assert (1, 1) not in member.done, "another member has it"


async def test_a_batch_from_before_a_rebalance_does_not_hide_unfinished_records(
    member: Member,
) -> None:
    """The first record is still in progress when its partition is revoked and assigned again."""
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0)))
    fetched_before = member.fetch(Record(0, 1))
    await member.revoke(KEPT, LOST)
    await member.assign(KEPT)
    await member.hand_over(fetched_before)
    await member.commit()
    assert member.consumer.committed.get(KEPT, 0) == 0
    member.may_work.set()
    await member.hand_over(member.fetch(Record(0, 0), Record(0, 1)))
    await member.has_ended()
    await member.commit()
    assert member.consumer.committed == {KEPT: 2}


async def test_a_batch_fetched_before_the_listener_is_called_is_processed(member: Member) -> None:
    """aiokafka begins to fetch a new assignment before it reports it."""
    await member.revoke(KEPT, LOST)
    handing_over = asyncio.create_task(member.hand_over(member.fetch(Record(0, 0))))
    await asyncio.sleep(0)
    await member.keyed.listener().on_partitions_assigned([KEPT])
    await handing_over
    await member.has_ended()
    assert member.done == [(0, 0)]


async def test_queued_records_of_a_lost_partition_are_not_started(member: Member) -> None:
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0), Record(1, 0), Record(0, 1)))
    await asyncio.sleep(0)
    await member.revoke(KEPT, LOST)
    await member.assign(KEPT)
    member.may_work.set()
    await member.hand_over(member.fetch(Record(0, 0), Record(0, 1)))
    await member.has_ended()
    assert member.done == [(0, 0), (0, 0), (0, 1)], "begun before the rebalance, and again"


async def test_a_failing_record_of_a_lost_partition_is_not_retried(member: Member) -> None:
    member.is_failing = True
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(1, 0)))
    await asyncio.sleep(0)
    await member.revoke(KEPT, LOST)
    await member.assign(KEPT)
    member.may_work.set()
    await asyncio.wait_for(member.has_ended(), 10)
    assert member.tries == 1


async def test_a_failing_record_gives_its_slot_to_others_between_its_attempts() -> None:
    member = Member(concurrency=1)
    await member.assign(KEPT, LOST)
    async with asyncio.timeout(10):
        done = asyncio.Event()
        member.when_done = done.set
        await member.hand_over(member.fetch(Record(0, 0, value=UNREADABLE), Record(1, 0)))
        await done.wait()
        await member.keyed.drain(60)
    assert member.done == [(1, 0)]
    assert member.consumer.committed == {KEPT: 0, LOST: 1}, "the failing one is handed back"


async def test_a_partition_is_not_through_before_its_offset_is_committed(member: Member) -> None:
    """So health turns red when commits do not succeed, although all work is done."""
    await member.hand_over(member.fetch(Record(0, 0)))
    await member.has_ended()
    member.consumer.is_broker_away = True
    assert not await member.commit()
    assert not await member.keyed.is_through(KEPT, 1)
    member.consumer.is_broker_away = False
    assert await member.commit()
    assert await member.keyed.is_through(KEPT, 1)


async def test_a_partition_waits_for_others_until_its_oldest_record_is_started() -> None:
    member = Member(concurrency=1)
    await member.assign(KEPT, LOST)
    assert member.keyed.progress_of_others(LOST) is None, "nothing was taken, and nothing is full"
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0), Record(0, 1), Record(1, 0)))
    await asyncio.sleep(0)
    assert member.keyed.progress_of_others(KEPT) is None, "its oldest record has started"
    assert member.keyed.progress_of_others(LOST) == 0
    seen: list[int | None] = []
    member.when_done = lambda: seen.append(member.keyed.progress_of_others(LOST))
    member.may_work.set()
    await member.has_ended()
    assert seen == [0, 1, None]


async def test_a_partition_that_is_not_taken_for_want_of_room_waits_for_others(
    member: Member,
) -> None:
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0, value=b"x" * MOST_BYTES)))
    assert member.keyed.progress_of_others(LOST) == 0
    member.may_work.set()
    await member.has_ended()
    assert member.keyed.progress_of_others(LOST) is None


async def test_records_in_flight_are_bounded_in_bytes(member: Member) -> None:
    """Keys and headers count, and half of the bytes must have ended before it takes more."""
    member.may_work.clear()
    quarter = Record(0, 0, value=b"x" * 150, key=b"k" * 50, headers=(("h", b"x" * 49), ("", None)))
    batch = [replace(quarter, offset=n) for n in range(4)]
    await member.hand_over(member.fetch(*batch[:3]))
    assert member.consumer.paused() == set()
    await member.hand_over(member.fetch(batch[3]))
    assert member.consumer.paused() == {KEPT, LOST}
    paused_after: list[bool] = []
    member.when_done = lambda: paused_after.append(bool(member.consumer.paused()))
    member.may_work.set()
    await member.has_ended()
    assert paused_after == [True, True, False, False], "half had ended before the third did"
    assert member.consumer.paused() == set()


async def test_a_record_larger_than_the_limit_is_handled_and_nothing_after_it_is_taken(
    member: Member,
) -> None:
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0, value=b"x" * 5 * MOST_BYTES)))
    assert member.consumer.paused() == {KEPT, LOST}
    member.may_work.set()
    await member.has_ended()
    assert member.done == [(0, 0)]
    assert member.consumer.paused() == set()


async def test_a_new_assignment_is_paused_while_too_much_is_in_flight(member: Member) -> None:
    member.may_work.clear()
    await member.hand_over(member.fetch(Record(0, 0, value=b"x" * MOST_BYTES)))
    await member.revoke(KEPT, LOST)
    await member.assign(KEPT)
    assert member.consumer.paused() == {KEPT}
    member.may_work.set()
    await member.has_ended()
    assert member.consumer.paused() == set()
