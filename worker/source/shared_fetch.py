"""Sharing fetches: one fetch serves all requests for an API ID received before it began."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_SECONDS = 5.0
"""How long a finished fetch is kept for other requests received before it began."""


@dataclass(slots=True, eq=False)
class _Fetch(Generic[T]):
    task: asyncio.Task[T]
    began: float | None = None
    """Start, by the monotonic clock; None while it waits for a free slot."""


class SharedFetch(Generic[T]):
    """Shares fetches by key and limits how many run concurrently."""

    def __init__(self, fetch: Callable[[str], Awaitable[T]], at_once: int) -> None:
        self._fetch = fetch
        self._slots = asyncio.Semaphore(at_once)
        self._fetches: dict[str, _Fetch[T]] = {}

    async def get(self, key: str, received: float) -> T:
        """Return the result of a fetch that began no earlier than `received` (monotonic clock).

        An error of the fetch is raised in all calls that share it.
        """
        # Cancelling one waiter must not cancel the fetch for the others.
        return await asyncio.shield(self._shared(key, received).task)

    def begin(self, key: str, received: float) -> None:
        """Begin the fetch that `get` would begin with these arguments, if it would begin one."""
        self._shared(key, received)

    def _shared(self, key: str, received: float) -> _Fetch[T]:
        shared = self._fetches.get(key)
        if shared is None or (shared.began is not None and shared.began < received):
            shared = self._new(key)
        return shared

    def _new(self, key: str) -> _Fetch[T]:
        task = asyncio.create_task(self._run(key))
        shared = self._fetches[key] = _Fetch(task)
        task.add_done_callback(lambda _: self._finished(key, shared))
        return shared

    async def _run(self, key: str) -> T:
        shared = self._fetches[key]
        async with self._slots:
            shared.began = monotonic()
            return await self._fetch(key)

    def _finished(self, key: str, shared: _Fetch[T]) -> None:
        if not shared.task.cancelled():
            shared.task.exception()  # mark it as retrieved, in case all waiters are cancelled
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, key, shared)

    def _forget(self, key: str, shared: _Fetch[T]) -> None:
        if self._fetches.get(key) is shared:
            del self._fetches[key]
