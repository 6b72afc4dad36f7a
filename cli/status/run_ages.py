"""How long runs have been open, and how long ago the last run began or ended."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.identity import message_id
from eventstore.open_runs import OpenRun

_MOST = 1000
"""Open runs whose ages are compared."""

BEGINNINGS = text("""
    SELECT count(*) AS found, max(clock_timestamp() - recorded_at) AS age FROM event_store.events
    WHERE message_id = ANY(CAST(:message_ids AS uuid[]))
""")

# An erasure is no progress of a run.
LAST_OF_A_RUN = text("""
    SELECT clock_timestamp() - recorded_at AS age FROM event_store.events
    WHERE type <> 'SpeakerErased' ORDER BY position DESC LIMIT 1
""")


class OldestRun(NamedTuple):
    """The oldest of some open runs."""

    seconds: float
    """Since its beginning; 0 without runs."""
    are_in_log: bool
    """Whether the log has the beginning of every run: a restored one may lack some."""


async def oldest_run(engine: AsyncEngine, runs: Sequence[OpenRun]) -> OldestRun:
    """Return the oldest of these open runs, by the clock of the database."""
    started: list[UUID] = [message_id(run.sync_id, 0) for run in runs[:_MOST]]
    async with engine.connect() as connection:
        row = (await connection.execute(BEGINNINGS, {"message_ids": started})).one()
    seconds = row.age.total_seconds() if row.age else 0.0
    return OldestRun(seconds, row.found == len(started))


async def seconds_since_progress(engine: AsyncEngine) -> float:
    """Return how long ago the last event of a run was recorded; infinite without one."""
    async with engine.connect() as connection:
        row = (await connection.execute(LAST_OF_A_RUN)).one_or_none()
    return math.inf if row is None else float(row.age.total_seconds())
