"""A survey of one SpreaView event: its state, the newest decisions, and the newest documents."""

import asyncio
from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from audit.past.moments import outcomes
from audit.past.runs import RunSummary, run_summary
from contracts.events import ImportEvent, SyncCompleted, SyncFailed, SyncStarted
from contracts.failures import FailureCode
from contracts.subjects import subject_of
from eventstore.log import EventLog
from eventstore.model import Recorded
from worker.rules.placement import choose_sessions, command_of
from worker.rules.reading import read_document
from worker.rules.schedule import Schedule
from worker.rules.settle import settle
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
    """The schedule in its document; None if there is no readable document, or it is not kept."""
    has_lost_document: bool = False
    """Whether it had a document that is not kept: what that listed is known by the events only."""


@dataclass
class Survey:
    """The facts that explanations use. Its size depends on the entities, not on the history."""

    event_id: UUID
    organization_id: UUID | None = None
    state: State = field(default_factory=State)
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    """By kind and Sessionize id."""
    withheld: dict[str, Decision] = field(default_factory=dict)
    """By Sessionize id: the run that began to hold the removal back."""
    erased: dict[UUID, Decision] = field(default_factory=dict)
    """By our id: the newest erasure. One before the first import is not in the stream."""
    completed: EndedRun | None = None
    """The last completed run."""
    failed: EndedRun | None = None
    """The last run that failed after the last completed one."""
    superseded: EndedRun | None = None
    """The last run after the last completed one that was superseded."""

    @property
    def time_zone(self) -> str | None:
        """The zone of the last completed run; of another one if none has completed."""
        ended = (self.completed, self.failed, self.superseded)
        started = (run.started for run in ended if run is not None and run.started is not None)
        return next((start.window.time_zone for start in started), None)

    @property
    def schedules(self) -> list[Schedule]:
        """The schedules of the last completed and the last failed run, in this order."""
        ended = [run for run in (self.completed, self.failed) if run is not None]
        return [run.schedule for run in ended if run.schedule is not None]


async def read_survey(log: EventLog, event_id: UUID) -> Survey:
    """Read the whole stream once, and the documents of its newest runs.

    Raises:
        NotInThePastError: the log does not know the event.
    """
    survey = Survey(event_id)
    opened: dict[UUID, Recorded] = {}
    async for outcome in outcomes(log, event_id):
        for recorded in outcome:
            event = recorded.event
            fold([event], survey.state)
            _note_decision(survey, recorded, event)
            if isinstance(event, SyncStarted):
                opened[event.sync_id] = recorded
            elif isinstance(event, SyncCompleted | SyncFailed):
                _note_end(survey, opened.pop(event.sync_id, None), recorded, event)
    if survey.completed is not None:
        survey.completed = await _with_schedule(log, survey.completed, survey.state)
    if survey.failed is not None:
        survey.failed = await _with_schedule(log, survey.failed, survey.state)
    return survey


def _note_decision(survey: Survey, recorded: Recorded, event: ImportEvent) -> None:
    decision = Decision(event.sync_id, recorded.position, recorded.recorded_at, event)
    # A refused request may name another organization than the one that the event belongs to.
    survey.organization_id = survey.state.organization_id or event.organization_id
    if (subject := subject_of(event)) is not None:
        if subject.sessionize_id is None:
            survey.erased[subject.id] = decision
        else:
            survey.decided[subject.kind, subject.sessionize_id] = decision
    elif isinstance(event, SyncCompleted):
        held = survey.state.withheld  # the event itself lists only the first ones
        survey.withheld = {key: survey.withheld.get(key, decision) for key in sorted(held)}


def _note_end(
    survey: Survey, started: Recorded | None, ended: Recorded, outcome: SyncCompleted | SyncFailed
) -> None:
    start = started.event if started else None
    run = EndedRun(
        run_summary(started, ended), start if isinstance(start, SyncStarted) else None, outcome
    )
    if isinstance(outcome, SyncCompleted):
        survey.completed, survey.failed, survey.superseded = run, None, None
    elif outcome.code == FailureCode.SUPERSEDED:
        survey.superseded = run
    else:
        survey.failed = run


async def _with_schedule(log: EventLog, ended: EndedRun, state: State) -> EndedRun:
    """Add the schedule of a run's document, settled as the run did.

    In `state`, the state after the run, the readings that the run chose are imported.
    """
    source = ended.outcome.source
    body = await log.source(source.digest) if source else None
    if body is None:
        return ended._replace(has_lost_document=source is not None)
    if ended.started is None:
        return ended
    erased = await log.erased_speakers(ended.started.organization_id)
    # In a thread: a long document would delay every other answer of this process.
    schedule = await asyncio.to_thread(_schedule_in, body, ended.started, erased, state)
    return ended._replace(schedule=schedule)


def _schedule_in(
    body: bytes, started: SyncStarted, erased: Set[UUID], state: State
) -> Schedule | None:
    try:
        command = command_of(started)
        schedule = read_document(
            body,
            organization_id=started.organization_id,
            spreaview_event_id=started.spreaview_event_id,
            zone=zone_of(started.window),
            erased=erased,
        ).schedule
    except (SyncFailure, InvalidWindowError):
        return None
    return choose_sessions(state, settle(state, schedule, command), command)
