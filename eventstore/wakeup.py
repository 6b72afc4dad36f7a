"""Wake-up: NOTIFY is a hint, polling is the truth."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

logger = logging.getLogger(__name__)

CHANNEL = "event_store"


class WakeUp:
    """Tells a reader of the log that there may be something new."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Something may be new."""
        self._hint.set()

    async def wait(self) -> None:
        """Return after a hint, at the latest after `poll_seconds`: look either way."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._hint.wait()
        except TimeoutError:
            return
        finally:
            self._hint.clear()


@asynccontextmanager
async def listening(connection: asyncpg.Connection, wake_up: WakeUp) -> AsyncIterator[None]:
    """Pass the log's notifications on to `wake_up` while the block runs."""

    def on_notify(*_: object) -> None:
        wake_up.hint()

    await connection.add_listener(CHANNEL, on_notify)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.remove_listener(CHANNEL, on_notify)
