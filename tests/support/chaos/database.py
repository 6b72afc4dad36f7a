"""The sandbox's PostgreSQL with an owner who kills it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import psutil

from cli.sandbox.postgres import postgres

# Every process of the server may be killed, but the machine stays up: what was handed to the
# system is there afterwards. `synchronous_commit` has to stay on.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}


class Database:
    """A server with a port and data of its own. Made by `database_server`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = ""
        """Where it really listens, without the proxy; known once it was started."""
        self.port = port
        self._folder = folder
        self._stack: AsyncExitStack | None = None

    async def start(self) -> None:
        """Start it; it answers when this returns."""
        stack = AsyncExitStack()
        self.url = await stack.enter_async_context(
            postgres(self._folder, port=self.port, settings=_SETTINGS)
        )
        self._stack = stack

    async def stop(self) -> None:
        """End it in good order, or see to it that it is gone."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            await stack.aclose()

    async def kill(self) -> None:
        """SIGKILL for its first process, which takes the others with it; gone afterwards."""
        for process in self._processes():
            process.send_signal(signal.SIGKILL)
            break
        await self.stop()

    async def pause(self, seconds: float) -> None:
        """Stop every process of it for so many seconds."""
        stopped = list(self._processes())
        try:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            await asyncio.sleep(seconds)
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _processes(self) -> Iterator[psutil.Process]:
        """The first process, then its children; nothing if it is not ours (any more)."""
        try:
            lines = (self._folder / "cluster" / "postmaster.pid").read_text("utf-8").splitlines()
            first = psutil.Process(int(lines[0]))
            ours = os.getpid() in (parent.pid for parent in first.parents())
            children = first.children(recursive=True) if ours else []
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return
        if ours:
            yield first
            yield from children


@asynccontextmanager
async def database_server(folder: Path, port: int) -> AsyncIterator[Database]:
    """A running server at this port of 127.0.0.1; gone when the block ends."""
    database = Database(folder, port)
    try:
        await database.start()
        yield database
    finally:
        await database.stop()
