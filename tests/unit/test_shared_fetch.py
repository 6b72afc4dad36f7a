"""Sharing fetches: a fetch serves only calls made before it began."""

import asyncio
from time import monotonic

import pytest

from worker.source.shared_fetch import SharedFetch

pytestmark = pytest.mark.asyncio


class Source:
    """Counts the fetches, and answers when the test releases them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way = self.most_at_once = 0
        self.answer = asyncio.Event()

    async def fetch(self, key: str) -> str:
        self.asked.append(key)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await self.answer.wait()
        self.under_way -= 1
        if key == "broken":
            raise ValueError("broken")
        return f"{key} {len(self.asked)}"


async def turns(number: int = 10) -> None:
    """Let the other tasks run as far as they can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_calls_before_a_fetch_begins_share_it() -> None:
    source = Source()
    shared = SharedFetch(source.fetch, at_once=4)
    received = monotonic()
    waiting = [asyncio.create_task(shared.get("a", received)) for _ in range(20)]
    await turns()
    waiting.append(asyncio.create_task(shared.get("a", received)))
    source.answer.set()
    assert set(await asyncio.gather(*waiting)) == {"a 1"}
    assert await shared.get("a", received) == "a 1", "also a little later"
    assert source.asked == ["a"]


async def test_a_fetch_that_has_begun_early_is_returned_by_the_call() -> None:
    source = Source()
    source.answer.set()
    shared = SharedFetch(source.fetch, at_once=4)
    received = monotonic()
    shared.begin("a", received)
    await turns()
    assert source.asked == ["a"]
    assert await shared.get("a", received) == "a 1"
    shared.begin("a", received)
    await turns()
    assert source.asked == ["a"]


async def test_a_call_after_a_fetch_began_starts_another() -> None:
    source = Source()
    shared = SharedFetch(source.fetch, at_once=4)
    first = asyncio.create_task(shared.get("a", monotonic()))
    await turns()
    second = asyncio.create_task(shared.get("a", monotonic()))
    await turns()
    source.answer.set()
    assert source.asked == ["a", "a"]
    assert {await first, await second} == {"a 2"}  # both end together, after the second was asked


async def test_concurrent_fetches_are_limited() -> None:
    source = Source()
    shared = SharedFetch(source.fetch, at_once=3)
    waiting = [asyncio.create_task(shared.get(f"k{n}", monotonic())) for n in range(10)]
    await turns()
    assert source.under_way == 3
    source.answer.set()
    await asyncio.gather(*waiting)
    assert source.most_at_once == 3


async def test_cancelling_one_waiter_keeps_the_shared_fetch() -> None:
    source = Source()
    shared = SharedFetch(source.fetch, at_once=1)
    received = monotonic()
    hasty = asyncio.create_task(shared.get("a", received))
    patient = asyncio.create_task(shared.get("a", received))
    await turns()
    hasty.cancel()
    await turns()
    source.answer.set()
    assert await patient == "a 1"
    assert hasty.cancelled()


async def test_a_failure_reaches_all_waiters_and_the_next_call_fetches_again() -> None:
    source = Source()
    source.answer.set()
    shared = SharedFetch(source.fetch, at_once=1)
    received = monotonic()
    found = await asyncio.gather(
        *(shared.get("broken", received) for _ in range(3)), return_exceptions=True
    )
    assert [str(error) for error in found] == ["broken"] * 3
    with pytest.raises(ValueError, match="broken"):
        await shared.get("broken", monotonic())
    assert source.asked == ["broken", "broken"]
