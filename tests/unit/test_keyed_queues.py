"""Items of a key run in order, items of different keys run concurrently."""

import asyncio

import pytest

from messaging.keyed_queues import KeyedQueues

pytestmark = pytest.mark.asyncio


class Work:
    """Items `key:number` that run until the test releases them."""

    def __init__(self, concurrency: int) -> None:
        self.queues = KeyedQueues(self._run, concurrency)
        self.started: list[str] = []
        self.running: list[str] = []
        self.done: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}

    def add(self, *items: str) -> None:
        for item in items:
            self._gates[item] = asyncio.Event()
            self.queues.add(item.partition(":")[0], item)

    async def release(self, item: str) -> None:
        self._gates[item].set()
        await settle()

    async def _run(self, item: str) -> None:
        async with self.queues.slot():
            self.started.append(item)
            self.running.append(item)
            try:
                await self._gates[item].wait()
                self.done.append(item)
            finally:
                self.running.remove(item)


async def settle() -> None:
    """Let every task run until it waits for the test."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_running_item_delays_its_own_key_only() -> None:
    work = Work(concurrency=4)
    work.add("a:0", "a:1", "b:0")
    await settle()
    assert work.running == ["a:0", "b:0"]
    await work.release("b:0")
    assert work.running == ["a:0"]
    await work.release("a:0")
    assert work.running == ["a:1"]
    await work.release("a:1")
    assert work.done == ["b:0", "a:0", "a:1"]


async def test_running_items_stay_within_the_limit() -> None:
    work = Work(concurrency=2)
    work.add("a:0", "b:0", "c:0")
    await settle()
    assert work.running == ["a:0", "b:0"]
    await work.release("a:0")
    assert work.running == ["b:0", "c:0"]


async def test_draining_starts_no_queued_item_and_cancels_late_ones() -> None:
    work = Work(concurrency=4)
    work.add("a:0", "a:1", "b:0")
    await settle()
    draining = asyncio.create_task(work.queues.drain(0.05))
    await settle()
    await work.release("a:0")
    await draining
    assert work.started == ["a:0", "b:0"]
    assert (work.done, work.running) == (["a:0"], [])


async def test_draining_starts_no_item_that_waits_for_a_slot() -> None:
    work = Work(concurrency=2)
    work.add("a:0", "b:0", "c:0", "d:0", "e:0")
    await settle()
    async with asyncio.timeout(10):
        draining = asyncio.create_task(work.queues.drain(60))
        await settle()
        await work.release("a:0")
        await work.release("b:0")
        await draining
    assert work.started == work.done == ["a:0", "b:0"]
