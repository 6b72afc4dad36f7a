"""Waiting for a run to end, and for a signal."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from projections.queries import JsonRow, Queries

_LOOK_SECONDS = 0.1


class StillRunningError(Exception):
    """The run has no outcome in time."""


async def run_ended(queries: Queries, sync_id: UUID, timeout_seconds: float) -> JsonRow:
    """The row of the run once it is over, as SpreaView would see it.

    Raises:
        StillRunningError: it is not over in time; the text says how far it is.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        row = await queries.sync_run(sync_id)
        if row is not None and row["status"] != "running":
            return row
        if time.monotonic() > deadline:
            seen = "is running" if row else "has not begun: is a worker running?"
            raise StillRunningError(
                f"sync {sync_id} {seen} after {timeout_seconds:g} seconds; it goes on without "
                "this command, and its row in spreaview.sync_runs will say how it ended"
            )
        await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, instead of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def until_stopped(stop: asyncio.Event, background: asyncio.Task[None]) -> None:
    """Return when told to stop; raises what ended the background work, if that is first."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, background}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if background.done():
        background.result()
