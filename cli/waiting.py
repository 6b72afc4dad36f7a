"""Waiting for the end of a run, and for a signal."""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from projections.queries import JsonRow, Queries

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_ANSWER_SECONDS = 2.0
"""A query has at least this time, also at the end of the timeout."""


class StillRunningError(Exception):
    """The run had no outcome within the timeout."""


class UnansweredError(Exception):
    """The database did not answer whether the run has an outcome."""


async def run_ended(
    queries: Queries, sync_id: UUID, timeout_seconds: float, *, event_id: UUID | None = None
) -> JsonRow:
    """Wait for the end of a run; its row in `spreaview.sync_runs`.

        row = await run_ended(queries, sync_id, 300.0, event_id=event_id)

    Raises:
        StillRunningError: the run did not end in time; the message names whether it has begun. With
            the run's SpreaView event in `event_id`, it names the earlier sync that delays the run.
        UnansweredError: a query did not end in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            async with asyncio.timeout(max(_ANSWER_SECONDS, deadline - time.monotonic())):
                row = await queries.sync_run(sync_id)
        except TimeoutError as error:
            raise UnansweredError from error
        if row is not None and row["status"] != "running":
            return row
        if time.monotonic() > deadline:
            seen = "is running"
            if row is None:
                try:
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        seen = await _why_not_begun(queries, event_id)
                except TimeoutError as error:
                    raise UnansweredError from error
            raise StillRunningError(
                f"sync {sync_id} {seen} after {timeout_seconds:g} seconds; it continues without "
                "this command, and its outcome will appear in spreaview.sync_runs"
            )
        await asyncio.sleep(_LOOK_SECONDS)


async def _why_not_begun(queries: Queries, event_id: UUID | None) -> str:
    running = [] if event_id is None else await queries.running_syncs(event_id)
    if not running:
        return "has not begun: is a worker running?"
    earlier = running[0]
    return (
        f"waits for sync {earlier['sync_id']} of the same SpreaView event, which began at "
        f"{earlier['started_at']} (syncs of one event run one after another),"
    )


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run the work until SIGTERM or SIGINT cancels it; return when it has cleaned up.

    A signal therefore works at any time, also while the work still waits for a server. It is
    logged. Exceptions of the work pass through.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def receive(number: signal.Signals) -> None:
        if not stop.is_set():
            logger.info("%s: stopping", number.name, extra={"signal": number.name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, receive, number)
    stopped = asyncio.create_task(stop.wait())
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({stopped, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            logger.info("stopped")
        if not working.cancelled():
            working.result()
    finally:
        stopped.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
