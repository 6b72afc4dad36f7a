"""A survey of one SpreaView event: its state, who decided what last, and its newest documents."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from audit.past.moments import outcomes
from audit.past.runs import RunSummary, run_summary
from contracts.events import (
    ImportEvent,
    RoomImported,
    RoomWithdrawn,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SessionWithdrawn,
    SpeakerErased,
    SpeakerImported,
    SpeakerWithdrawn,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)
from contracts.failures import FailureCode
from eventstore.log import EventLog
from eventstore.model import Recorded
from worker.rules.reading import read_document
from worker.rules.schedule import Schedule
from worker.rules.state import State, fold
from worker.rules.sync_failures import SyncFailure
from worker.rules.window import InvalidWindowError, zone_of


class Decision(NamedTuple):
    """The newest event that decided about an entity."""

    sync_id: UUID
    position: int
    recorded_at: datetime
    event: ImportEvent


class EndedRun(NamedTuple):
    """A run with an outcome."""

    run: RunSummary
    started: SyncStarted | None
    outcome: SyncCompleted | SyncFailed
    schedule: Schedule | None = None
    """What its document says; None where there is no readable document (any more)."""


@dataclass
class Survey:
    """As much as the event has entities, whatever the length of its history."""

    event_id: UUID
    organization_id: UUID | None = None
    state: State = field(default_factory=State)
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    """By kind and Sessionize id."""
    withheld: dict[str, Decision] = field(default_factory=dict)
    """By Sessionize id: the run that began to hold the removal back."""
    erased: dict[UUID, Decision] = field(default_factory=dict)
    """By our id: the newest erasure of a speaker."""
    completed: EndedRun | None = None
    """The last completed run."""
    failed: EndedRun | None = None
    """The last run that failed after that."""
    superseded: EndedRun | None = None
    """The last run after that which a later one had overtaken."""

    @property
    def schedules(self) -> list[Schedule]:
        """The newest documents, that of the last completed run first."""
        ended = [run for run in (self.completed, self.failed) if run is not None]
        return [run.schedule for run in ended if run.schedule is not None]


async def survey(log: EventLog, event_id: UUID) -> Survey:
    """Read the whole stream once, and the documents of its newest runs.

    Raises:
        NotInThePastError: the log does not know the event.
    """
    found = Survey(event_id)
    opened: dict[UUID, Recorded] = {}
    async for outcome in outcomes(log, event_id):
        for recorded in outcome:
            event = recorded.event
            fold([event], found.state)
            _note(found, recorded, event)
            if isinstance(event, SyncStarted):
                opened[event.sync_id] = recorded
            elif isinstance(event, SyncCompleted | SyncFailed):
                _end(found, opened.pop(event.sync_id, None), recorded, event)
    if found.completed is not None:
        found.completed = await _with_schedule(log, found, found.completed)
    if found.failed is not None:
        found.failed = await _with_schedule(log, found, found.failed)
    return found


def _note(found: Survey, recorded: Recorded, event: ImportEvent) -> None:
    decision = Decision(event.sync_id, recorded.position, recorded.recorded_at, event)
    found.organization_id = event.organization_id
    match event:
        case (
            SessionImported()
            | SessionSkippedOutOfWindow()
            | SessionSkippedUnscheduled()
            | SessionWithdrawn()
        ):
            found.decided["session", event.sessionize_id] = decision
        case RoomImported() | RoomWithdrawn():
            found.decided["room", event.sessionize_id] = decision
        case SpeakerImported() | SpeakerWithdrawn():
            found.decided["speaker", event.sessionize_id] = decision
        case SpeakerErased():
            found.erased[event.speaker_id] = decision
        case SyncCompleted():
            found.withheld = {
                held.sessionize_id: found.withheld.get(held.sessionize_id, decision)
                for held in event.withheld
            }
        case _:
            pass


def _end(
    found: Survey, started: Recorded | None, ended: Recorded, outcome: SyncCompleted | SyncFailed
) -> None:
    start = started.event if started else None
    run = EndedRun(
        run_summary(started, ended), start if isinstance(start, SyncStarted) else None, outcome
    )
    if isinstance(outcome, SyncCompleted):
        found.completed, found.failed, found.superseded = run, None, None
    elif outcome.code == FailureCode.SUPERSEDED:
        found.superseded = run
    else:
        found.failed = run


async def _with_schedule(log: EventLog, found: Survey, ended: EndedRun) -> EndedRun:
    source = ended.outcome.source
    body = await log.source(source.digest) if source else None
    if body is None or ended.started is None:
        return ended
    try:
        schedule = read_document(
            body,
            organization_id=ended.started.organization_id,
            spreaview_event_id=found.event_id,
            zone=zone_of(ended.started.window),
        ).schedule
    except (SyncFailure, InvalidWindowError):
        return ended
    return ended._replace(schedule=schedule)
