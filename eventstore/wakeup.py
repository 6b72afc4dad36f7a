"""Wake-up of readers: NOTIFY is only a hint, polling guarantees progress."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import asyncpg

CHANNEL = "event_store"

GATHER_SECONDS = 0.05
"""How long a reader lets events gather (ADR 0039, ADR 0043)."""


async def gather(streams: Iterable[UUID]) -> None:
    """Let events gather in a burst: pause after a turn of a reader that found several streams.

    Otherwise the reader takes the events of one or two commits at a time, and spends more on its
    transactions than on the events (ADR 0043). A reader does not pause after a full page.
    """
    if len(set(streams)) > 1:
        await asyncio.sleep(GATHER_SECONDS)


class WakeUp:
    """Wakes a reader of the log when there may be new events.

    Args:
        poll_seconds: longest time between two looks at the log.
        gather_seconds: time from a hint to the look that it causes. Further events come with it.
    """

    def __init__(self, poll_seconds: float, *, gather_seconds: float = 0.0) -> None:
        self._poll_seconds = poll_seconds
        self._gather_seconds = gather_seconds
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Wake the reader: there may be new events."""
        self._hint.set()

    async def listen(self, connection: asyncpg.Connection) -> None:
        """Use the log's notifications as hints while the connection lives."""
        await connection.add_listener(CHANNEL, lambda *_: self.hint())

    async def wait(self) -> None:
        """Return after a hint, or after `poll_seconds`; look for new events in both cases."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._hint.wait()
            if self._gather_seconds:
                await asyncio.sleep(self._gather_seconds)
        except TimeoutError:
            return
        finally:
            self._hint.clear()

    async def gather(self, streams: Iterable[UUID]) -> None:
        """As `gather` of this module, for a reader that is given its waits."""
        await gather(streams)
