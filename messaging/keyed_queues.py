"""Work in order per key, and concurrently across keys."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeyedQueues(Generic[T]):
    """Runs the items of a key one after the other, and items of different keys concurrently.

    Args:
        run: processes one item. It must not raise: the items behind it would never run.
        concurrency: items that run at the same time, at most.
    """

    def __init__(self, run: Callable[[T], Awaitable[None]], concurrency: int) -> None:
        self._run = run
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: dict[Hashable, deque[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def add(self, key: Hashable, item: T) -> None:
        """Run an item after the earlier items of its key."""
        if key in self._waiting:
            self._waiting[key].append(item)
            return
        self._waiting[key] = deque([item])
        task = asyncio.create_task(self._run_all(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Stop starting items, and cancel running items that do not end within some seconds."""
        self._draining = True
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run_all(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        try:
            while waiting and not self._draining:
                async with self._slots:
                    await self._run(waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[key]
