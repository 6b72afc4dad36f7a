"""Verdicts: which rule of the import keeps something in or out, and what it compared. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from audit.explain.lookup import name_of, our_id
from audit.explain.survey import Decision, EndedRun, Survey
from contracts.events import (
    RoomWithdrawn,
    SessionSkippedOutOfWindow,
    SpeakerWithdrawn,
)
from worker.rules.schedule import Schedule
from worker.rules.window import bounds_of

_REFERRING = 20
"""So many sessions are named that refer to a room or a speaker."""


class Verdict(NamedTuple):
    """Which rule, and what it compared."""

    rule: str
    """A name of `audit.explain.rules`."""
    name: str
    values: Mapping[str, object]
    decision: Decision | EndedRun | None
    """Who decided; None: nobody, the newest run is what can be told."""


def session_verdict(found: Survey, key: str) -> Verdict:
    """Why a session is or is not there."""
    state, schedule = found.state, _newest(found)
    name = name_of(found, "session", key)
    decision = found.decided.get(("session", key))
    invalid = schedule is not None and key in schedule.invalid_sessions
    if key in state.sessions:
        values = {"starts_at": state.sessions[key].starts_at} | _window(found)
        if key in found.withheld:
            why = {"in_the_source": _in_the_source(schedule, key)}
            return Verdict("withheld", name, values | why, found.withheld[key])
        rule = "invalid_kept" if invalid else "scheduled"
        return Verdict(rule, name, values, found.completed if invalid else decision)
    if (skip := state.skipped.get(key)) is not None:
        if isinstance(skip, SessionSkippedOutOfWindow):
            values = {
                "starts_at": skip.starts_at,
                "window_starts_at": skip.window_starts_at,
                "window_ends_at": skip.window_ends_at,
            }
            return Verdict(skip.reason, name, values, decision)
        planned = schedule.sessions.get(key) if schedule else None
        values = {"missing": skip.missing, "starts_at": skip.starts_at, "ends_at": skip.ends_at}
        if planned is not None and planned.room is not None and "room" in skip.missing:
            values |= {"unknown_room": planned.room}
        return Verdict("unscheduled", name, values, decision)
    if invalid:
        return Verdict("invalid_ignored", name, {}, found.completed)
    if decision is not None:
        last = state.past_sessions.get(key)
        values = {"last_started_at": last.starts_at} if last else {}
        return Verdict("missing_from_source", name, values, decision)
    return _not_in_the_log(found, "session", key, name)


def entity_verdict(found: Survey, kind: str, key: str) -> Verdict:
    """Why a room or a speaker is or is not there."""
    state, schedule = found.state, _newest(found)
    name = name_of(found, kind, key)
    decision = found.decided.get((kind, key))
    present = key in (state.rooms if kind == "room" else state.speakers)
    listed, invalid = _listed(schedule, kind)
    referring = _referring(found, kind, key)
    id_ = our_id(found, kind, key)
    if kind == "speaker" and id_ in found.erased and not name:
        return Verdict("erased", name, {"linked_by": referring}, found.erased[id_])
    if present:
        rule = "invalid_kept" if key in invalid else "imported"
        return Verdict(
            rule,
            name,
            {"referred_to_by": referring},
            found.completed if key in invalid else decision,
        )
    if key in invalid:
        return Verdict("invalid_ignored", name, {}, found.completed)
    if key in listed:
        planned = _planned_with(schedule, kind, key)
        values = {"referred_to_by_sessions_that_are_not_imported": planned}
        return Verdict("unreferenced", name, values, decision or found.completed)
    if decision is not None and isinstance(decision.event, RoomWithdrawn | SpeakerWithdrawn):
        return Verdict(decision.event.reason, name, {}, decision)
    return _not_in_the_log(found, kind, key, name)


def _not_in_the_log(found: Survey, kind: str, key: str, name: str) -> Verdict:
    failed = found.failed
    if failed is not None:
        listed, invalid = _listed(failed.schedule, kind)
        values = {"in_the_source": key in listed or key in invalid}
        if found.completed is None or values["in_the_source"]:
            return Verdict("run_failed", name, values, failed)
    if found.completed is None:
        return Verdict("no_sync_yet", name, {}, None)
    return Verdict("never_seen", name, {}, found.completed)


def _newest(found: Survey) -> Schedule | None:
    return found.completed.schedule if found.completed else None


def _listed(schedule: Schedule | None, kind: str) -> tuple[frozenset[str], frozenset[str]]:
    """The Sessionize ids that a document lists: readable and not."""
    if schedule is None:
        return frozenset(), frozenset()
    match kind:
        case "session":
            return frozenset(schedule.sessions), schedule.invalid_sessions
        case "room":
            return frozenset(schedule.rooms), schedule.invalid_rooms
        case _:
            return frozenset(schedule.speakers), schedule.invalid_speakers


def _window(found: Survey) -> dict[str, object]:
    if found.completed is None or found.completed.started is None:
        return {}
    bounds = bounds_of(found.completed.started.window)
    return {"window_starts_at": bounds.starts_at, "window_ends_at": bounds.ends_at}


def _in_the_source(schedule: Schedule | None, key: str) -> str:
    """What the newest document says of a session whose removal is withheld."""
    if schedule is None:
        return "the document is not kept any more"
    planned = schedule.sessions.get(key)
    if planned is None:
        return "missing"
    if planned.starts_at is None or planned.ends_at is None or planned.room is None:
        return "without time or room"
    return f"starts {planned.starts_at.isoformat()}"


def _referring(found: Survey, kind: str, key: str) -> list[str]:
    """The imported sessions that refer to a room or a speaker."""
    id_ = our_id(found, kind, key)
    return [
        f"{session.title} ({session.sessionize_id})"
        for session in found.state.sessions.values()
        if (session.room_id == id_ if kind == "room" else id_ in session.speaker_ids)
    ][:_REFERRING]


def _planned_with(schedule: Schedule | None, kind: str, key: str) -> list[str]:
    """The sessions of a document that refer to a room or a speaker."""
    return [
        f"{planned.title} ({planned.sessionize_id})"
        for planned in (schedule.sessions.values() if schedule else ())
        if (planned.room == key if kind == "room" else key in planned.speakers)
    ][:_REFERRING]
