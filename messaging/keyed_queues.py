"""Work in order per key, and concurrently across keys."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class KeyedQueues(Generic[T]):
    """Runs the items of a key one after the other, and items of different keys concurrently.

    Args:
        run: processes one item, each attempt of it within `slot()`. It must not raise: the items
            behind it would never run.
        concurrency: attempts that run at the same time, at most.
    """

    def __init__(self, run: Callable[[T], Awaitable[None]], concurrency: int) -> None:
        self._run = run
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: dict[Hashable, deque[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None] | None] = set()
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

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for one of the slots, and hold it while the block runs."""
        async with self._slots:
            if self._draining:
                raise asyncio.CancelledError
            task = asyncio.current_task()
            self._busy.add(task)
            try:
                yield
            finally:
                self._busy.discard(task)

    async def drain(self, seconds: float) -> None:
        """Start no attempt any more, and cancel those that do not end within some seconds."""
        self._draining = True
        for task in self._tasks - self._busy:
            task.cancel()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run_all(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        try:
            while waiting and not self._draining:
                await self._run(waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[key]
