"""Open runs: runs that have started and have no outcome."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.identity import OUTCOME, message_id

# Reads the partial index `events_started`. The inbox leaves out almost all runs; it may be pruned,
# so the outcomes of the rest are looked up.
STARTED_RUNS = text("""
    SELECT s.stream_id, CAST(s.data->>'sync_id' AS uuid) AS sync_id
    FROM event_store.events s
    WHERE s.type = 'SyncStarted' AND s.position > :after AND s.position <= :upto
      AND NOT EXISTS (SELECT FROM event_store.inbox i
                      WHERE i.message_id = CAST(s.data->>'sync_id' AS uuid))
    ORDER BY s.position
""")

OUTCOMES = text("""
    SELECT message_id FROM event_store.events
    WHERE message_id = ANY(CAST(:message_ids AS uuid[]))
""")


class OpenRun(NamedTuple):
    """A run without an outcome."""

    stream_id: UUID
    sync_id: UUID


async def started_runs(engine: AsyncEngine, *, after: int, upto: int) -> list[OpenRun]:
    """Return the runs that started between two positions and have no inbox entry."""
    async with engine.connect() as connection:
        found = await connection.execute(STARTED_RUNS, {"after": after, "upto": upto})
        return [OpenRun(row.stream_id, row.sync_id) for row in found]


async def still_open(engine: AsyncEngine, runs: Collection[OpenRun]) -> set[OpenRun]:
    """Return the runs among these that have no outcome in the log."""
    by_outcome = {message_id(run.sync_id, OUTCOME): run for run in runs}
    if not by_outcome:
        return set()
    async with engine.connect() as connection:
        ended = await connection.execute(OUTCOMES, {"message_ids": list(by_outcome)})
        return set(by_outcome.values()) - {by_outcome[outcome] for outcome in ended.scalars()}
