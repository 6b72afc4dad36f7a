"""Wake-up: NOTIFY is a hint, polling is the truth."""

import asyncio

import asyncpg

CHANNEL = "event_store"


class WakeUp:
    """Tells a reader of the log that there may be something new."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Something may be new."""
        self._hint.set()

    async def listen(self, connection: asyncpg.Connection) -> None:
        """Take the log's notifications as hints, as long as the connection lives."""
        await connection.add_listener(CHANNEL, lambda *_: self.hint())

    async def wait(self) -> None:
        """Return after a hint, at the latest after `poll_seconds`: look either way."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._hint.wait()
        except TimeoutError:
            return
        finally:
            self._hint.clear()
