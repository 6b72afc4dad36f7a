"""Concurrent intake on both brokers: order per lane, commits below the oldest, nothing lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream import FastStream
from faststream.kafka import KafkaBroker

from contracts.topics import DEFAULT_PARTITIONS
from messaging.concurrent_intake import ConcurrentIntake, Job
from messaging.intake import Membership, RawRecord
from messaging.requests import producing
from tests.support.brokers import KnownBroker
from tests.support.brokers import broker as broker

pytestmark = pytest.mark.asyncio

PATIENCE = 40.0


@dataclass
class Member:
    """A member of the group, and what it does with records: their value is `lane:number`."""

    intake: ConcurrentIntake
    done: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)


@dataclass
class Group:
    """A topic and the group that reads it."""

    address: str
    topic: str
    session_seconds: float
    name: str = field(default_factory=lambda: f"group-{uuid4()}")
    gates: dict[str, asyncio.Event] = field(default_factory=dict)

    async def publish(self, *values: str, partition: int | None = None) -> None:
        async with producing(self.address) as producer:
            for value in values:
                lane = value.partition(":")[0].encode()
                await producer.send_and_wait(
                    self.topic, value.encode(), key=lane, partition=partition
                )

    def hold(self, value: str) -> None:
        """Have the work on a record wait until it is let go."""
        self.gates[value] = asyncio.Event()

    def let_go(self, value: str) -> None:
        self.gates[value].set()

    @asynccontextmanager
    async def member(
        self, *, at_once: int = 8, in_hand: int = 100, dies: bool = False
    ) -> AsyncIterator[Member]:
        """A member while the block runs. One that `dies` commits nothing at its end."""

        def job_of(record: RawRecord) -> Job:
            value = (record.value or b"").decode()
            if value == "unreadable":
                raise ValueError(value)
            return Job(value.partition(":")[0], lambda: work(value))

        async def work(value: str) -> None:
            member.running.add(value)
            if value in self.gates:
                await self.gates[value].wait()
            member.running.discard(value)
            member.done.append(value)

        intake = ConcurrentIntake(
            self.topic,
            job_of,
            membership=Membership(self.name, self.session_seconds),
            at_once=at_once,
            in_hand=in_hand,
        )
        member = Member(intake)
        kafka = KafkaBroker(self.address, logger=None, allow_auto_create_topics=False)
        kafka.include_router(intake.router())
        app = FastStream(kafka, logger=None)
        committing = asyncio.create_task(intake.commit())
        await app.start()
        try:
            yield member
        finally:
            committing.cancel()
            if not dies:
                await intake.drain(PATIENCE)
            await app.stop()
            for task in list(intake._tasks):
                task.cancel()

    async def committed(self) -> dict[int, int]:
        """The group's offsets, by partition, as a member would be told."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, group_id=self.name)
        partitions = [TopicPartition(self.topic, number) for number in range(DEFAULT_PARTITIONS)]
        consumer.assign(partitions)
        await consumer.start()
        try:
            found = {tp.partition: await consumer.committed(tp) for tp in partitions}
        finally:
            await consumer.stop()
        return {partition: offset for partition, offset in found.items() if offset is not None}


@pytest_asyncio.fixture
async def group(broker: KnownBroker) -> Group:
    return Group(broker.address, await broker.a_topic(), broker.session_seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.01)


async def until_committed(group: Group, expected: dict[int, int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await group.committed() != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def numbered(lane: str, number: int) -> list[str]:
    return [f"{lane}:{n}" for n in range(number)]


def of_lane(done: Iterable[str], lane: str) -> list[str]:
    return [value for value in done if value.startswith(f"{lane}:")]


async def test_a_lane_that_hangs_holds_back_itself_alone(group: Group) -> None:
    """All are in one partition, and one after the other on it."""
    group.hold("a:0")
    values = [v for n in range(20) for v in (f"a:{n}", f"b:{n}", f"c:{n}")]
    await group.publish(*values, partition=3)
    async with group.member(at_once=3) as member:
        await until(lambda: len(member.done) == 40)
        assert of_lane(member.done, "b") == numbered("b", 20)
        assert of_lane(member.done, "c") == numbered("c", 20)
        assert member.running == {"a:0"}
        group.let_go("a:0")
        await until(lambda: len(member.done) == 60)
        assert of_lane(member.done, "a") == numbered("a", 20)


async def test_only_offsets_below_the_oldest_record_in_hand_are_committed(
    group: Group, broker: KnownBroker
) -> None:
    group.hold("h:0")
    await group.publish("a:0", "b:0", "h:0", "c:0", "d:0", partition=0)
    await group.publish("e:0", "f:0", partition=1)
    async with group.member(dies=True) as member:
        await until(lambda: len(member.done) == 6)
        await until_committed(group, {0: 2, 1: 2})
    async with group.member() as again:
        await until(lambda: again.running == {"h:0"})
        await until(lambda: sorted(again.done) == ["c:0", "d:0"])
        group.let_go("h:0")
        await until(lambda: len(again.done) == 3)
    assert await group.committed() == {0: 5, 1: 2}


async def test_what_has_not_begun_is_handed_back_and_what_runs_is_finished(group: Group) -> None:
    group.hold("a:0")
    await group.publish("b:0", "a:0", "a:1", "a:2", partition=0)
    async with group.member() as member:
        await until(lambda: member.running == {"a:0"})
        draining = asyncio.create_task(member.intake.drain(PATIENCE))
        await asyncio.sleep(0)
        assert not draining.done()
        group.let_go("a:0")
        await draining
    assert member.done == ["b:0", "a:0"]
    assert await group.committed() == {0: 2}
    async with group.member() as other:
        await until(lambda: other.done == ["a:1", "a:2"])


async def test_what_does_not_end_in_time_is_handed_back(group: Group) -> None:
    group.hold("a:0")
    await group.publish("a:0", partition=0)
    async with group.member() as member:
        await until(lambda: member.running == {"a:0"})
        await member.intake.drain(0.1)
    assert member.done == []
    group.let_go("a:0")
    async with group.member() as other:
        await until(lambda: other.done == ["a:0"])


async def test_no_more_records_are_in_hand_than_allowed(group: Group) -> None:
    lanes = [f"lane{n}:0" for n in range(60)]
    for lane in lanes:
        group.hold(lane)
    await group.publish(*lanes)
    async with group.member(at_once=4, in_hand=10) as member:
        most = 0
        for _ in lanes:
            await until(lambda: bool(member.running))
            most = max(most, member.intake._in_hand)
            group.let_go(next(iter(member.running)))
            done = len(member.done)
            await until(lambda done=done: len(member.done) > done)  # type: ignore[misc]
        assert sorted(member.done) == sorted(lanes)
        assert most <= 15  # what was allowed, and half as much, which came at once


async def test_a_record_that_cannot_be_read_for_a_fault_of_ours_is_not_committed(
    group: Group,
) -> None:
    await group.publish("a:0", "unreadable", "b:0", partition=0)
    async with group.member(dies=True) as member:
        await until(lambda: sorted(member.done) == ["a:0", "b:0"])
        await until_committed(group, {0: 1})


async def test_a_rebalance_neither_loses_nor_disorders(group: Group) -> None:
    """A second member comes while the first works, and the first goes while the second works."""
    lanes = [f"lane{n}" for n in range(20)]
    await group.publish(*(f"{lane}:{n}" for n in range(10) for lane in lanes))
    held = [f"{lane}:5" for lane in lanes]
    for value in held:
        group.hold(value)
    async with group.member(at_once=20, in_hand=400) as first:
        await until(lambda: first.running == set(held))
        async with group.member(at_once=20, in_hand=400) as second:
            await until(lambda: bool(second.running))
            for value in held:
                group.let_go(value)
            await until(lambda: {*first.done, *second.done} >= {f"{lane}:9" for lane in lanes})
    for lane in lanes:
        for member in (first, second):
            in_order = list(dict.fromkeys(of_lane(member.done, lane)))
            assert in_order == sorted(in_order)
        assert {*of_lane(first.done, lane), *of_lane(second.done, lane)} == set(numbered(lane, 10))
