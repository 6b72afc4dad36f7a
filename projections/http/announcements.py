"""Waiting for the read models to move, with one listening connection per process."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg
import msgspec

from eventstore.listening import keep_listening
from projections.announce import CHANNEL


class _Announced(msgspec.Struct, frozen=True):
    spreaview_event_id: UUID
    version: int


_decoder = msgspec.json.Decoder(_Announced)


class Waiter:
    """One request that waits for a SpreaView event."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()
        self.version = 0
        """The highest version that was announced while waiting."""

    def moved(self, version: int) -> None:
        """Wake the request."""
        self.version = max(self.version, version)
        self._moved.set()

    async def wait(self, seconds: float) -> None:
        """Return after an announcement, or after `seconds`; look again in both cases."""
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return
        finally:
            self._moved.clear()


class Announcements:
    """Hands the announcements of the projectors to the requests that wait.

    An announcement is a hint: a waiter also looks by itself from time to time.
    """

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._waiters: defaultdict[UUID, set[Waiter]] = defaultdict(set)
        self.are_over = False
        """Whether the server stops, so that nobody waits any more."""

    @contextmanager
    def waiting(self, event_id: UUID) -> Iterator[Waiter]:
        """Collect the announcements of an event while the block runs."""
        waiter = Waiter()
        self._waiters[event_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[event_id].discard(waiter)
            if not self._waiters[event_id]:
                del self._waiters[event_id]

    def end(self) -> None:
        """Wake every request for the last time: the server stops."""
        self.are_over = True
        self._wake_all()

    async def listen(self) -> None:
        """Listen until cancelled."""
        await keep_listening(self._connect, CHANNEL, self._announce, self._wake_all)

    def _announce(self, payload: str) -> None:
        try:
            announced = _decoder.decode(payload)
        except msgspec.DecodeError:
            return  # from someone else: anybody may notify
        for waiter in tuple(self._waiters.get(announced.spreaview_event_id, ())):
            waiter.moved(announced.version)

    def _wake_all(self) -> None:
        for waiters in tuple(self._waiters.values()):
            for waiter in tuple(waiters):
                waiter.moved(0)
