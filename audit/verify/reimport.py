"""Deciding old documents again by today's rules, and comparing with the recorded outcome.

Nothing is appended. Each run is decided with the request in its `SyncStarted`, the state of the
stream right before its outcome, and the document that it received.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.past.field_changes import FieldChanges, changed_fields, changes_to_json
from audit.past.moments import NotInThePastError, outcomes
from contracts.events import (
    ImportEvent,
    SessionImported,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)
from contracts.messages import SyncRequested
from contracts.subjects import subject_of
from eventstore.log import EventLog
from worker.rules import sync_failures
from worker.rules.command import check_turn
from worker.rules.decide import decide
from worker.rules.placement import command_of
from worker.rules.reading import read_document
from worker.rules.spelling import erased_in_any_spelling
from worker.rules.state import State, fold
from worker.rules.sync_failures import SyncFailure, sync_failed
from worker.rules.window import InvalidWindowError, zone_of


class Deviation(NamedTuple):
    """An event that today's rules would decide differently."""

    what: str
    """recorded_only, decided_only or differs."""
    type: str
    entity: str
    """The Sessionize id of the entity; empty for events about the run."""
    fields: FieldChanges
    """Recorded and decided value, by field; empty if only one of the events exists."""

    def to_json(self) -> dict[str, object]:
        """The deviation as JSON values; `fields` is `{name: {recorded, decided}}`."""
        return self._asdict() | {"fields": changes_to_json(self.fields, "recorded", "decided")}


class ReimportedRun(NamedTuple):
    """One run, decided again."""

    sync_id: UUID
    recorded_at: datetime
    not_decided: str | None
    """Why the run could not be decided again; None: it was."""
    deviations: tuple[Deviation, ...]
    time_zone: str | None = None
    """The zone of the event at that run."""

    def to_json(self) -> dict[str, object]:
        """The run as JSON values."""
        run: dict[str, object] = msgspec.to_builtins(self._asdict() | {"deviations": ()})
        del run["time_zone"]
        return run | {"deviations": [deviation.to_json() for deviation in self.deviations]}


async def reimport(
    log: EventLog, event_id: UUID, sync_id: UUID | None = None
) -> AsyncIterator[ReimportedRun]:
    """Decide all runs of a SpreaView event again, in order, or one of them.

        async for run in reimport(log, event_id): print(run.sync_id, len(run.deviations))

    Memory holds the event's state, a page of the log, one outcome and one document.

    Raises:
        NotInThePastError: the log does not know the event, or the event has no such run with an
            outcome.
    """
    state = State()
    matched = False
    async for outcome in outcomes(log, event_id):
        events = [recorded.event for recorded in outcome]
        terminal = events[-1]
        if isinstance(terminal, SyncCompleted | SyncFailed) and sync_id in (None, terminal.sync_id):
            matched = True
            reason, deviations = await _decide_again(log, state, events, terminal)
            started = state.open_runs.get(terminal.sync_id)
            zone = started.window.time_zone if started is not None else None
            at = outcome[-1].recorded_at
            yield ReimportedRun(terminal.sync_id, at, reason, deviations, zone)
        fold(events, state)
    if sync_id is not None and not matched:
        raise NotInThePastError(
            f"The SpreaView event {event_id} has no sync {sync_id} with an outcome."
        )


async def _decide_again(
    log: EventLog,
    state: State,
    recorded: Sequence[ImportEvent],
    terminal: SyncCompleted | SyncFailed,
) -> tuple[str | None, tuple[Deviation, ...]]:
    started = state.open_runs.get(terminal.sync_id)
    if terminal.source is None:
        return "it received no document", ()
    if started is None:
        return "it never began", ()
    body = await log.source(terminal.source.digest)
    if body is None:
        return "its document is not kept any more", ()
    erased = await log.erased_speakers(started.organization_id)
    decided = await asyncio.to_thread(_decide, state, started, terminal, body, erased)
    return None, tuple(_deviations(recorded, decided))


def _decide(
    state: State,
    started: SyncStarted,
    terminal: SyncCompleted | SyncFailed,
    body: bytes,
    erased: Set[UUID],
) -> Sequence[ImportEvent]:
    """The events that a worker would append today, apart from durations."""
    if terminal.source is None:
        raise ValueError("a run without a document cannot be decided")
    duration_ms = terminal.duration_ms if isinstance(terminal, SyncCompleted) else 0
    request = _request(started)
    try:
        check_turn(state, request, started.ordered_at)
        command = command_of(started)
        schedule = read_document(
            body,
            organization_id=started.organization_id,
            spreaview_event_id=started.spreaview_event_id,
            zone=zone_of(started.window),
            erased=erased_in_any_spelling(
                erased, state.past_speakers.keys() | state.speakers.keys(), started.organization_id
            ),
        ).schedule
        return decide(state, schedule, command, terminal.source, duration_ms)
    except InvalidWindowError as error:
        refused = sync_failures.invalid_request(str(error))
    except SyncFailure as error:
        refused = error
    return [sync_failed(request, started.ordered_at, refused, terminal.source)]


def _request(started: SyncStarted) -> SyncRequested:
    """The request as it was recorded: with the masked API ID, because the log has no other."""
    return SyncRequested(
        request_id=started.sync_id,
        organization_id=started.organization_id,
        spreaview_event_id=started.spreaview_event_id,
        sessionize_api_id=started.api_id_masked,
        window=started.window,
        requested_at=started.requested_at,
        requested_by=started.requested_by,
        force=started.force,
        allow_removals=started.allow_removals,
    )


def _deviations(
    recorded: Iterable[ImportEvent], decided: Iterable[ImportEvent]
) -> Iterable[Deviation]:
    then = {_key(event): event for event in recorded}
    now = {_key(event): event for event in decided}
    for key in [*then, *(key for key in now if key not in then)]:
        old, new = then.get(key), now.get(key)
        if isinstance(old, SessionImported) and isinstance(new, SessionImported):
            old = _with_known_topics(old, new)
        if old is None or new is None:
            yield Deviation("decided_only" if old is None else "recorded_only", *key, {})
        elif old != new:
            fields = changed_fields(msgspec.structs.asdict(old), msgspec.structs.asdict(new))
            yield Deviation("differs", *key, fields)


def _with_known_topics(recorded: SessionImported, decided: SessionImported) -> SessionImported:
    """Return the recorded event; topics that it does not know equal none."""
    if recorded.topics is None and not decided.topics:
        return msgspec.structs.replace(recorded, topics=decided.topics)
    return recorded


def _key(event: ImportEvent) -> tuple[str, str]:
    subject = subject_of(event)
    return type(event).__name__, (subject.sessionize_id if subject else None) or ""
