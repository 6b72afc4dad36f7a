"""The sandbox's PostgreSQL, which the harness starts, stops and kills."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import psutil

from cli.sandbox.postgres import postgres

# The server's processes may be killed, but the machine stays up: data written to the operating
# system survives. `synchronous_commit` must stay on.
_STATEMENT_MS = 4
_AGAIN_SECONDS = 0.2
_LOST_CONNECTION = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was lost between two of its messages
)
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}


class Database:
    """A server with its own port and data. Create it with `database_server`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = ""
        """Its real port, without the proxy, and no time limit; known after the first start."""
        self.port = port
        self._folder = folder
        self._stack: AsyncExitStack | None = None

    async def start(self) -> None:
        """Start the server, and return when it answers."""
        stack = AsyncExitStack()
        url = await stack.enter_async_context(
            postgres(self._folder, port=self.port, settings=_SETTINGS)
        )
        self.url = f"{url}?statement_timeout=0"
        self._stack = stack

    async def stop(self) -> None:
        """Stop the server in an orderly way, or kill it."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            await stack.aclose()

    async def kill(self) -> None:
        """Send SIGKILL to the first process, which ends the others; return when all are gone."""
        for process in self._processes():
            process.send_signal(signal.SIGKILL)
            break
        await self.stop()

    async def pause(self, seconds: float) -> None:
        """Send SIGSTOP to every process, and SIGCONT after some seconds."""
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

    async def time_out(self, seconds: float, cut: Callable[[], None]) -> None:
        """Cancel the statements of all others after a few milliseconds, for a while.

        Args:
            seconds: how long.
            cut: ends the sessions of the others, because only new ones take the limit.
        """
        try:
            await self._limit_statements(f"SET statement_timeout = {_STATEMENT_MS}")
            cut()
            await asyncio.sleep(seconds)
        finally:
            await self._limit_statements("RESET statement_timeout")
            cut()

    async def _limit_statements(self, change: str) -> None:
        while True:  # the server may be down
            with suppress(OSError, *_LOST_CONNECTION):
                connection = await asyncpg.connect(self.url)
                try:
                    await connection.execute(f"ALTER DATABASE spreaview {change}")
                    return
                finally:
                    connection.terminate()
            await asyncio.sleep(_AGAIN_SECONDS)

    def _processes(self) -> Iterator[psutil.Process]:
        """Return the first process and its children; empty if it is not our server (any more)."""
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
    """Run a server at this port of 127.0.0.1 while the block runs."""
    database = Database(folder, port)
    try:
        await database.start()
        yield database
    finally:
        await database.stop()
