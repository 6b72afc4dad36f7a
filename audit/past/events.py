"""The SpreaView events of a log, each with its last sync."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.events import Counts, SyncCompleted, SyncFailed, SyncStarted
from contracts.messages import Window
from eventstore.model import Recorded

_NEWEST = (SyncStarted, SyncCompleted, SyncFailed)

# The newest event of each of these types, per stream; personal data are not needed.
NEWEST_OF_EACH_TYPE = text("""
    SELECT e.position, s.stream_id, e.version, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, e.recorded_at, e.hash, NULL AS personal
    FROM event_store.streams s
    CROSS JOIN unnest(CAST(:types AS text[])) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT * FROM event_store.events
        WHERE stream_id = s.stream_id AND type = wanted.type
        ORDER BY version DESC
        LIMIT 1
    ) e
    ORDER BY s.stream_id
""")

RUNS = text("""
    SELECT stream_id, count(*) AS runs FROM event_store.events
    WHERE type = ANY(CAST(:types AS text[])) GROUP BY stream_id
""")


class EntityCounts(NamedTuple):
    """Number of entities that an event has after its last completed sync."""

    sessions: int
    speakers: int
    rooms: int


class EventSummary(NamedTuple):
    """A SpreaView event, as its last syncs left it."""

    spreaview_event_id: UUID
    organization_id: UUID
    window: Window | None
    """The dates of the last sync that started."""
    syncs: int
    """Number of syncs that have an outcome."""
    last_sync_id: UUID
    last_status: str
    """completed, failed, superseded; running if no sync has an outcome."""
    last_failure_code: str | None
    last_sync_at: datetime
    """When the last outcome was recorded; when the sync started if there is no outcome."""
    completed_at: datetime | None
    """When the last completed sync was recorded."""
    counts: EntityCounts | None
    """After the last completed sync."""

    def to_json(self) -> dict[str, object]:
        """The event as JSON values."""
        counts = self.counts._asdict() if self.counts else None
        event: dict[str, object] = msgspec.to_builtins(self._asdict() | {"counts": counts})
        return event


async def event_summaries(engine: AsyncEngine) -> list[EventSummary]:
    """The SpreaView events of the log; the one that was synced last comes first."""
    newest: dict[UUID, dict[str, Recorded]] = {}
    types = [each.__name__ for each in _NEWEST]
    async with engine.connect() as connection:
        for row in await connection.execute(NEWEST_OF_EACH_TYPE, {"types": types}):
            recorded = Recorded(*row)
            newest.setdefault(recorded.stream_id, {})[recorded.type] = recorded
        found = await connection.execute(RUNS, {"types": types[1:]})
        runs = {row.stream_id: row.runs for row in found}
    summaries = [_summary(id_, each, runs.get(id_, 0)) for id_, each in newest.items()]
    return sorted(summaries, key=lambda summary: summary.last_sync_at, reverse=True)


def _summary(event_id: UUID, newest: dict[str, Recorded], syncs: int) -> EventSummary:
    started, completed, failed = (newest.get(each.__name__) for each in _NEWEST)
    ends = [end for end in (completed, failed) if end is not None]
    last = max(ends, key=lambda end: end.position) if ends else started
    if last is None:
        raise ValueError("an event without runs")
    fact = last.event
    code = fact.code if isinstance(fact, SyncFailed) else None
    done = completed.event if completed else None
    begin = started.event if started else None
    return EventSummary(
        spreaview_event_id=event_id,
        organization_id=(done or fact).organization_id,  # a refused request may name another
        window=begin.window if isinstance(begin, SyncStarted) else None,
        syncs=syncs,
        last_sync_id=fact.sync_id,
        last_status=_status(fact, code),
        last_failure_code=code,
        last_sync_at=last.recorded_at,
        completed_at=completed.recorded_at if completed else None,
        counts=_counts(done) if isinstance(done, SyncCompleted) else None,
    )


def _status(fact: object, code: str | None) -> str:
    if isinstance(fact, SyncStarted):
        return "running"
    if code is None:
        return "completed"
    return "superseded" if code == "superseded" else "failed"


def _counts(done: SyncCompleted) -> EntityCounts:
    counts = done.counts
    return EntityCounts(_there(counts.sessions), _there(counts.speakers), _there(counts.rooms))


def _there(counts: Counts) -> int:
    """Number of entities that are in the schedule after a run."""
    kept = counts.unchanged + counts.repeated + counts.withheld
    return counts.added + counts.updated + counts.restored + kept
