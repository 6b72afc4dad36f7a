"""Open runs: runs that have started and have no outcome."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.identity import OUTCOME, message_id

# Reads the partial index `events_started`. Only an outcome ends a run: a row of the inbox may be
# there without one, in a damaged or restored database.
STARTED_RUNS = text("""
    SELECT s.position, s.stream_id, s.data->>'sync_id' AS sync_id
    FROM event_store.events s
    WHERE s.type = 'SyncStarted' AND s.position > :after AND s.position <= :upto
    ORDER BY s.position LIMIT :limit
""")

_PAGE = 5000
"""Runs that are read at once: a new leader looks at every run of the log."""

OUTCOMES = text("""
    SELECT message_id FROM event_store.events
    WHERE message_id = ANY(CAST(:message_ids AS uuid[]))
""")


class OpenRun(NamedTuple):
    """A run without an outcome."""

    stream_id: UUID
    sync_id: UUID


async def started_runs(engine: AsyncEngine, *, after: int, upto: int) -> set[OpenRun]:
    """Return the runs that started between two positions and have no outcome in the log."""
    open_runs: set[OpenRun] = set()
    while True:
        async with engine.connect() as connection:
            found = await connection.execute(
                STARTED_RUNS, {"after": after, "upto": upto, "limit": _PAGE}
            )
            page = found.all()
        runs = [run for row in page if (run := _run_of(row.stream_id, row.sync_id)) is not None]
        open_runs |= await still_open(engine, runs)
        if len(page) < _PAGE:
            return open_runs
        after = page[-1].position


async def still_open(engine: AsyncEngine, runs: Collection[OpenRun]) -> set[OpenRun]:
    """Return the runs among these that have no outcome in the log."""
    found: set[OpenRun] = set()
    ordered = list(runs)
    for begin in range(0, len(ordered), _PAGE):
        page = ordered[begin : begin + _PAGE]
        by_outcome = await asyncio.to_thread(_by_outcome, page)
        async with engine.connect() as connection:
            ended = await connection.execute(OUTCOMES, {"message_ids": list(by_outcome)})
            for outcome in ended.scalars():
                del by_outcome[outcome]
        found |= set(by_outcome.values())
    return found


def _run_of(stream_id: UUID, sync_id: str | None) -> OpenRun | None:
    """Return a run; None if its start was damaged and has no id, as a verification reports."""
    try:
        return OpenRun(stream_id, UUID(sync_id))
    except (TypeError, ValueError, AttributeError):
        return None


def _by_outcome(runs: Collection[OpenRun]) -> dict[UUID, OpenRun]:
    """Return the runs by the message ids that their outcomes have."""
    return {message_id(run.sync_id, OUTCOME): run for run in runs}
