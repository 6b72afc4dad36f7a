"""The state that `decide` starts from, folded from a stream: shown, skipped and withdrawn."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from contracts.events import (
    ImportEvent,
    RemovalsWithheld,
    Room,
    RoomImported,
    RoomWithdrawn,
    Session,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SessionWithdrawn,
    Speaker,
    SpeakerImported,
    SpeakerWithdrawn,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)

T = TypeVar("T")
Skip = SessionSkippedOutOfWindow | SessionSkippedUnscheduled

_ROOM = Room.__struct_fields__
_SPEAKER = Speaker.__struct_fields__
_SESSION = Session.__struct_fields__


@dataclass(slots=True)
class State:
    """One SpreaView event's import state. Entities are keyed by Sessionize id."""

    version: int = 0
    """Version of the last event folded in."""
    organization_id: UUID | None = None
    """Bound by the first completed sync."""
    rooms: dict[str, Room] = field(default_factory=dict)
    speakers: dict[str, Speaker] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    past_rooms: dict[str, Room] = field(default_factory=dict)
    """Entities that were imported and are not now, as they were last: they can be restored."""
    past_speakers: dict[str, Speaker] = field(default_factory=dict)
    past_sessions: dict[str, Session] = field(default_factory=dict)
    skipped: dict[str, Skip] = field(default_factory=dict)
    """Sessions that are skipped now, each with its event."""
    open_runs: dict[UUID, SyncStarted] = field(default_factory=dict)
    """Runs that have started and have no outcome yet."""
    last_completed_ordered_at: datetime | None = None
    last_completed_fingerprint: str | None = None
    """Fingerprint of the API ID of the last completed run."""
    withheld: frozenset[str] = frozenset()
    """Sessions whose removal the last completed run held back."""
    withheld_by: UUID | None = None
    """The run whose `RemovalsWithheld` name them."""
    completed_runs: int = 0
    snapshot_version: int = field(default=0, compare=False)
    """Version of the snapshot it was folded from; 0 if there was none."""


def fold(events: Iterable[ImportEvent], state: State | None = None) -> State:
    """Return the state after `events`. Continues `state`, if given, and changes it."""
    state = State() if state is None else state
    for event in events:
        _evolve(state, event)
        state.version += 1
    return state


def _evolve(state: State, event: ImportEvent) -> None:
    match event:
        case SessionImported():
            key = event.sessionize_id
            state.sessions[key] = Session(**_fields(event, _SESSION))
            state.past_sessions.pop(key, None)
            state.skipped.pop(key, None)
        case SpeakerImported():
            state.speakers[event.sessionize_id] = Speaker(**_fields(event, _SPEAKER))
            state.past_speakers.pop(event.sessionize_id, None)
        case RoomImported():
            state.rooms[event.sessionize_id] = Room(**_fields(event, _ROOM))
            state.past_rooms.pop(event.sessionize_id, None)
        case SessionSkippedOutOfWindow() | SessionSkippedUnscheduled():
            _retire(event.sessionize_id, state.sessions, state.past_sessions)
            state.skipped[event.sessionize_id] = event
        case SessionWithdrawn():
            _retire(event.sessionize_id, state.sessions, state.past_sessions)
            state.skipped.pop(event.sessionize_id, None)
        case SpeakerWithdrawn():
            _retire(event.sessionize_id, state.speakers, state.past_speakers)
        case RoomWithdrawn():
            _retire(event.sessionize_id, state.rooms, state.past_rooms)
        case RemovalsWithheld():
            if state.withheld_by != event.sync_id:
                state.withheld, state.withheld_by = frozenset(), event.sync_id
            state.withheld |= {held.sessionize_id for held in event.sessions}
        case SyncStarted():
            state.open_runs[event.sync_id] = event
        case SyncCompleted():
            started = state.open_runs.pop(event.sync_id, None)
            state.last_completed_fingerprint = started.api_id_fingerprint if started else None
            if not event.counts.sessions.withheld:
                state.withheld, state.withheld_by = frozenset(), None
            state.organization_id = state.organization_id or event.organization_id
            state.last_completed_ordered_at = event.ordered_at
            state.completed_runs += 1
        case SyncFailed():
            state.open_runs.pop(event.sync_id, None)
        case _:
            pass


def _fields(event: msgspec.Struct, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names}


def _retire(key: str, present: dict[str, T], past: dict[str, T]) -> None:
    if (entity := present.pop(key, None)) is not None:
        past[key] = entity
