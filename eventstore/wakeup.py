"""Wake-up of readers: NOTIFY is only a hint, polling guarantees progress."""

import asyncio

import asyncpg

CHANNEL = "event_store"


class WakeUp:
    """Wakes a reader of the log when there may be new events."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
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
        except TimeoutError:
            return
        finally:
            self._hint.clear()
