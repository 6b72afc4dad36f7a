"""Sharing a fetch: requests for one API ID need only one, if it began after each was received."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_SECONDS = 5.0
"""How long a finished fetch is kept for requests that were received before it began."""


@dataclass(slots=True, eq=False)
class _Fetch(Generic[T]):
    task: asyncio.Task[T]
    began: float | None = None
    """When it began, by the monotonic clock; None while it waits for its turn."""


class SharedFetch(Generic[T]):
    """Fetches by key, a few at once, each for everybody whom it can serve."""

    def __init__(self, fetch: Callable[[str], Awaitable[T]], at_once: int) -> None:
        self._fetch = fetch
        self._slots = asyncio.Semaphore(at_once)
        self._fetches: dict[str, _Fetch[T]] = {}

    async def get(self, key: str, received: float) -> T:
        """The result of a fetch that began (monotonic clock) no earlier than `received`.

        Raises whatever the fetch raised, to everybody who shares it.
        """
        shared = self._fetches.get(key)
        if shared is None or (shared.began is not None and shared.began < received):
            shared = self._begin(key)
        # One who gives up does not take the fetch from the others.
        return await asyncio.shield(shared.task)

    def _begin(self, key: str) -> _Fetch[T]:
        task = asyncio.create_task(self._in_turn(key))
        shared = self._fetches[key] = _Fetch(task)
        task.add_done_callback(lambda _: self._finished(key, shared))
        return shared

    async def _in_turn(self, key: str) -> T:
        shared = self._fetches[key]
        async with self._slots:
            shared.began = monotonic()
            return await self._fetch(key)

    def _finished(self, key: str, shared: _Fetch[T]) -> None:
        if not shared.task.cancelled():
            shared.task.exception()  # looked at, for the case that nobody waits any more
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, key, shared)

    def _forget(self, key: str, shared: _Fetch[T]) -> None:
        if self._fetches.get(key) is shared:
            del self._fetches[key]
