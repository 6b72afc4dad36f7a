"""Planning: show the changes that a sync would make now, decided by the same code."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from contracts.events import (
    ImportEvent,
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
)
from contracts.messages import SyncRequested
from eventstore.log import EventLog
from worker.rules.command import check_request
from worker.rules.state import State
from worker.rules.sync_failures import SyncFailure, sync_failed
from worker.sync.ports import ScheduleSource
from worker.sync.run import decide_run
from worker.sync.state_snapshots import load_state


class Plan(NamedTuple):
    """The current state, and the outcome that a sync would have."""

    state: State
    outcome: list[ImportEvent]

    def to_json(self) -> dict[str, object]:
        """The answer of `plan --json`: the terminal event, and the changes."""
        changes = [change.to_json() for change in planned_changes(self)]
        value: dict[str, object] = msgspec.to_builtins(
            {"outcome": self.outcome[-1], "changes": changes}
        )
        return value


class PlannedChange(NamedTuple):
    """The change of one session, speaker or room."""

    kind: str
    """session, speaker or room."""
    change: str
    """added, updated, restored, repeated, withdrawn, withheld or skipped."""
    sessionize_id: str
    name: str
    reason: str | None
    """Reason for a withdrawal or a skip."""
    fields: Mapping[str, tuple[object, object]]
    """Old and new value of each changed field."""

    def to_json(self) -> dict[str, object]:
        """The change; each field as `{"old", "new"}`."""
        fields = {name: {"old": old, "new": new} for name, (old, new) in self.fields.items()}
        return {**self._asdict(), "fields": fields}


def planned_changes(plan: Plan) -> Iterator[PlannedChange]:
    """Yield the changes of a plan, one per entity, in the order of its events."""
    state = plan.state
    for event in plan.outcome:
        match event:
            case SessionImported():
                yield _imported("session", event, event.title, state.sessions, state.past_sessions)
            case SpeakerImported():
                name = event.full_name or ""
                yield _imported("speaker", event, name, state.speakers, state.past_speakers)
            case RoomImported():
                yield _imported("room", event, event.name, state.rooms, state.past_rooms)
            case SessionSkippedOutOfWindow():
                yield _removed("session", "skipped", event.sessionize_id, event.title, event.reason)
            case SessionSkippedUnscheduled():
                reason = f"missing: {', '.join(event.missing)}"
                yield _removed("session", "skipped", event.sessionize_id, event.title, reason)
            case SessionWithdrawn():
                yield _removed(
                    "session", "withdrawn", event.sessionize_id, event.title, event.reason
                )
            case SpeakerWithdrawn():
                was = state.speakers.get(event.sessionize_id)
                name = (was.full_name if was else None) or ""
                yield _removed("speaker", "withdrawn", event.sessionize_id, name, event.reason)
            case RoomWithdrawn():
                yield _removed("room", "withdrawn", event.sessionize_id, event.name, event.reason)
            case SyncCompleted():
                for held in event.withheld:
                    yield _removed("session", "withheld", held.sessionize_id, held.title, None)
            case _:
                pass


def _removed(
    kind: str, change: str, sessionize_id: str, name: str, reason: str | None
) -> PlannedChange:
    return PlannedChange(kind, change, sessionize_id, name, reason, {})


def _imported(
    kind: str,
    event: SessionImported | SpeakerImported | RoomImported,
    name: str,
    present: Mapping[str, Session] | Mapping[str, Speaker] | Mapping[str, Room],
    past: Mapping[str, Session] | Mapping[str, Speaker] | Mapping[str, Room],
) -> PlannedChange:
    before = present.get(event.sessionize_id) or past.get(event.sessionize_id)
    fields = {
        field: (getattr(before, field), getattr(event, field)) for field in event.changed_fields
    }
    return PlannedChange(kind, event.change, event.sessionize_id, name, None, fields)


async def plan(
    log: EventLog, source: ScheduleSource, request: SyncRequested, now: datetime
) -> Plan:
    """Fetch and decide as a sync does, but append nothing."""
    state = await load_state(log, request.spreaview_event_id)
    began = time.monotonic()
    try:
        checked = check_request(request, (await log.identity()).fingerprint_key)
    except SyncFailure as failure:
        return Plan(state, [sync_failed(request, now, failure)])
    outcome = await decide_run(
        source,
        state,
        checked,
        ordered_at=now,
        began=began,
        received=began,
        erased=await log.erased_speakers(request.organization_id),
    )
    return Plan(state, list(outcome.events))
