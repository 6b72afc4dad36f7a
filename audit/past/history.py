"""What happened to a SpreaView event: its runs, and the lives of its entities."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from audit.past.entities import EntityQuery, TimelineStep
from audit.past.moments import require_stream
from audit.past.timeline import TimelineBuilder
from contracts.events import AllCounts, SyncCompleted, SyncFailed, SyncStarted
from contracts.messages import Window
from eventstore.log import EventLog
from eventstore.model import Recorded


class RunSummary(NamedTuple):
    """One sync. What its events do not say is None."""

    sync_id: UUID
    status: str
    """running, completed, failed or superseded."""
    requested_by: str | None
    requested_at: datetime | None
    ordered_at: datetime
    started_at: datetime | None
    """When `SyncStarted` was recorded; None for a request that was refused before."""
    finished_at: datetime | None
    window: Window | None
    api_id_masked: str | None
    failure_code: str | None
    failure_message: str | None
    failure_remedy: str | None
    counts: AllCounts | None
    warnings: int
    source_digest: str | None
    first_position: int
    """That of `SyncStarted`, or of the outcome if there is none."""
    last_position: int | None
    """That of the outcome."""


class Span(NamedTuple):
    """Between which times, both inclusive; None does not limit."""

    since: datetime | None = None
    until: datetime | None = None

    def includes(self, time: datetime) -> bool:
        """Whether a time lies in it."""
        if self.since is not None and time < self.since:
            return False
        return self.until is None or time <= self.until


ALWAYS = Span()


async def runs(log: EventLog, event_id: UUID, span: Span = ALWAYS) -> AsyncIterator[RunSummary]:
    """The runs in the order in which they ended, last those that have not; by when they ended.

    Raises:
        NotInThePastError: the log does not know the event.
    """
    await require_stream(log, event_id)
    opened: dict[UUID, Recorded] = {}
    async for recorded in log.read_stream(event_id):
        if recorded.type == SyncStarted.__name__:
            opened[recorded.event.sync_id] = recorded
        elif recorded.type in (SyncCompleted.__name__, SyncFailed.__name__):
            started = opened.pop(recorded.event.sync_id, None)
            if span.includes(recorded.recorded_at):
                yield run_of(started, recorded)
    for started in opened.values():
        if span.includes(started.recorded_at):
            yield run_of(started, None)


def run_of(started: Recorded | None, ended: Recorded | None) -> RunSummary:
    """A run from its first and its last event, one of which may be missing."""
    first = started or ended
    if first is None:
        raise ValueError("a run without events")
    begin = started.event if started else None
    end = ended.event if ended else None
    fact = end or begin
    if not isinstance(fact, SyncStarted | SyncCompleted | SyncFailed):
        raise TypeError(f"{first.type} neither begins nor ends a run")
    start = begin if isinstance(begin, SyncStarted) else None
    failure = end if isinstance(end, SyncFailed) else None
    completed = end if isinstance(end, SyncCompleted) else None
    source = failure.source if failure else completed.source if completed else None
    return RunSummary(
        sync_id=fact.sync_id,
        status=_status(completed, failure),
        requested_by=start.requested_by if start else None,
        requested_at=start.requested_at if start else None,
        ordered_at=fact.ordered_at,
        started_at=started.recorded_at if started else None,
        finished_at=ended.recorded_at if ended else None,
        window=start.window if start else None,
        api_id_masked=start.api_id_masked if start else None,
        failure_code=failure.code if failure else None,
        failure_message=failure.message if failure else None,
        failure_remedy=failure.remedy if failure else None,
        counts=completed.counts if completed else None,
        warnings=len(completed.warnings) if completed else 0,
        source_digest=source.digest if source else None,
        first_position=first.position,
        last_position=ended.position if ended else None,
    )


def _status(completed: SyncCompleted | None, failure: SyncFailed | None) -> str:
    if failure:
        return "superseded" if failure.code == "superseded" else "failed"
    return "completed" if completed else "running"


class TimelineEntry(NamedTuple):
    """One thing that happened, with what the ids in it are called by then."""

    step: TimelineStep
    names: Mapping[str, str]
    """Names of rooms and speakers by our ids, as they were last."""


async def timeline(
    log: EventLog,
    event_id: UUID,
    wanted: EntityQuery,
    span: Span = ALWAYS,
    event_type: str | None = None,
) -> AsyncIterator[TimelineEntry]:
    """What happened to the wanted entities, in order: all entities if none is named.

    In memory are a page of the log and the entities as they were last, whatever the length of the
    history.

    Raises:
        NotInThePastError: the log does not know the event.
    """
    await require_stream(log, event_id)
    teller = TimelineBuilder(event_id, wanted)
    async for recorded in log.read_stream(event_id):
        for step in teller.tell(recorded):
            if span.includes(step.recorded_at) and event_type in (None, step.type):
                yield TimelineEntry(step, teller.names)
