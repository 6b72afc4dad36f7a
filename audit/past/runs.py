"""The runs of a SpreaView event, read from the log."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.past.moments import ALWAYS, Span, require_stream
from contracts.events import AllCounts, SyncCompleted, SyncFailed, SyncStarted, SyncWarning
from contracts.messages import Window
from eventstore.log import EventLog
from eventstore.model import Recorded


class RunSummary(NamedTuple):
    """One sync. A field is None if no event of the run carries it."""

    sync_id: UUID
    status: str
    """running, completed, failed or superseded."""
    requested_by: str | None
    requested_at: datetime | None
    ordered_at: datetime
    started_at: datetime | None
    """When `SyncStarted` was recorded; None for a request that was refused before it started."""
    finished_at: datetime | None
    window: Window | None
    api_id_masked: str | None
    failure_code: str | None
    failure_message: str | None
    failure_remedy: str | None
    counts: AllCounts | None
    warnings: tuple[SyncWarning, ...]
    source_digest: str | None
    first_position: int
    """The position of `SyncStarted`, or of the outcome if the run never started."""
    last_position: int | None
    """The position of the outcome."""

    def to_json(self) -> dict[str, object]:
        """The run as JSON values."""
        run: dict[str, object] = msgspec.to_builtins(self._asdict())
        return run


async def runs(log: EventLog, event_id: UUID, span: Span = ALWAYS) -> AsyncIterator[RunSummary]:
    """The runs in the order in which they ended, then the runs that are still open.

    `span` selects by the time of the outcome, for an open run by the time of its start.

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
                yield run_summary(started, recorded)
    for started in opened.values():
        if span.includes(started.recorded_at):
            yield run_summary(started, None)


def run_summary(started: Recorded | None, ended: Recorded | None) -> RunSummary:
    """Summarise a run by its start and its outcome; one of the two may be None."""
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
        warnings=completed.warnings if completed else (),
        source_digest=source.digest if source else None,
        first_position=first.position,
        last_position=ended.position if ended else None,
    )


def _status(completed: SyncCompleted | None, failure: SyncFailed | None) -> str:
    if failure:
        return "superseded" if failure.code == "superseded" else "failed"
    return "completed" if completed else "running"
