"""The keyed consumer on both brokers: order per key, safe commits, and no lost record."""

import asyncio
from collections.abc import Iterable

import pytest
import pytest_asyncio

from contracts.topics import DEFAULT_PARTITIONS
from tests.support.brokers import KnownBroker
from tests.support.brokers import broker as broker
from tests.support.keyed_group import PATIENCE, Group, until, until_committed

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def group(broker: KnownBroker) -> Group:
    return Group(broker.address, await broker.a_topic(), broker.session_seconds)


def numbered(key: str, number: int) -> list[str]:
    return [f"{key}:{n}" for n in range(number)]


def of_key(done: Iterable[str], key: str) -> list[str]:
    return [value for value in done if value.startswith(f"{key}:")]


async def test_a_stuck_key_delays_no_other_key(group: Group) -> None:
    """All records are in one partition."""
    group.hold("a:0")
    values = [v for n in range(20) for v in (f"a:{n}", f"b:{n}", f"c:{n}")]
    await group.publish(*values, partition=3)
    async with group.member(concurrency=3) as member:
        await until(lambda: len(member.done) == 40)
        assert of_key(member.done, "b") == numbered("b", 20)
        assert of_key(member.done, "c") == numbered("c", 20)
        assert member.running == {"a:0"}
        group.let_go("a:0")
        await until(lambda: len(member.done) == 60)
        assert of_key(member.done, "a") == numbered("a", 20)


async def test_only_offsets_below_the_oldest_record_in_flight_are_committed(
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


async def test_draining_finishes_running_records_and_hands_back_the_others(group: Group) -> None:
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


async def test_draining_hands_back_records_that_do_not_end_in_time(group: Group) -> None:
    group.hold("a:0")
    await group.publish("a:0", partition=0)
    async with group.member() as member:
        await until(lambda: member.running == {"a:0"})
        await member.intake.drain(0.1)
    assert member.done == []
    group.let_go("a:0")
    async with group.member() as other:
        await until(lambda: other.done == ["a:0"])


async def test_records_in_flight_stay_within_the_limit(group: Group) -> None:
    keys = [f"key{n}:0" for n in range(60)]
    for key in keys:
        group.hold(key)
    await group.publish(*keys)
    async with group.member(concurrency=4, in_flight=10) as member:
        most = 0
        for _ in keys:
            await until(lambda: bool(member.running))
            most = max(most, member.intake._in_flight.records)
            group.let_go(next(iter(member.running)))
            done = len(member.done)
            await until(lambda done=done: len(member.done) > done)  # type: ignore[misc]
        assert sorted(member.done) == sorted(keys)
        assert most <= 15  # the allowed number, and half of it again in one batch


async def test_bytes_in_flight_stay_within_the_limit(group: Group) -> None:
    """Three records exceed the limit, and one is all that a fetch returns of a partition."""
    size, limit = 600_000, 1_500_000
    values = [f"key{n}:{'x' * size}" for n in range(24)]
    for value in values:
        group.hold(value)
    await group.publish(*values)
    async with group.member(in_flight_bytes=limit) as member:

        def takes_no_more() -> bool:
            consumer, in_flight = member.intake._consumer, member.intake._in_flight
            is_paused = consumer is not None and bool(consumer.paused())
            return is_paused or in_flight.records + len(member.done) == len(values)

        most = 0
        for number in range(len(values)):
            await until(takes_no_more)
            most = max(most, member.intake._in_flight.bytes)
            await until(lambda: bool(member.running))
            group.let_go(next(iter(member.running)))
            await until(lambda done=number: len(member.done) > done)  # type: ignore[misc]
        assert sorted(member.done) == sorted(values)
        assert most <= limit + DEFAULT_PARTITIONS * (size + 100)


async def test_a_record_that_our_code_fails_to_read_is_not_committed(
    group: Group,
) -> None:
    await group.publish("a:0", "unreadable", "b:0", partition=0)
    async with group.member(dies=True) as member:
        await until(lambda: sorted(member.done) == ["a:0", "b:0"])
        await until_committed(group, {0: 1})


async def test_a_rebalance_neither_loses_nor_reorders_records(group: Group) -> None:
    """A second member joins while the first works, and the first leaves while the second works."""
    keys = [f"key{n}" for n in range(20)]
    await group.publish(*(f"{key}:{n}" for n in range(10) for key in keys))
    held = [f"{key}:5" for key in keys]
    for value in held:
        group.hold(value)
    async with group.member(concurrency=20, in_flight=400) as first:
        await until(lambda: first.running == set(held))
        async with group.member(concurrency=20, in_flight=400) as second:
            await until(lambda: bool(second.running))
            for value in held:
                group.let_go(value)
            await until(lambda: {*first.done, *second.done} >= {f"{key}:9" for key in keys})
    for key in keys:
        for member in (first, second):
            in_order = list(dict.fromkeys(of_key(member.done, key)))
            assert in_order == sorted(in_order)
        assert {*of_key(first.done, key), *of_key(second.done, key)} == set(numbered(key, 10))
