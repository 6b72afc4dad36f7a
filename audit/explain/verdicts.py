"""Choosing the rule of the import that keeps an entity in or out. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from audit.explain.lookup import name_of, our_id
from audit.explain.survey import Decision, EndedRun, Survey
from contracts.events import RoomWithdrawn, SessionSkippedOutOfWindow, SpeakerWithdrawn
from worker.rules.schedule import Schedule
from worker.rules.window import bounds_of

_MAX_REFERRING = 20
"""At most this many sessions that refer to a room or a speaker are listed."""


class Verdict(NamedTuple):
    """The rule that applies, and the values that it compared."""

    rule: str
    """A key of `audit.explain.rules`."""
    name: str
    values: Mapping[str, object]
    decision: Decision | EndedRun | None
    """The event or run that decided; None: no event did, so the newest run stands for it."""


def session_verdict(survey: Survey, key: str) -> Verdict:
    """The verdict on a session, by its Sessionize id."""
    state, schedule = survey.state, _newest(survey)
    name = name_of(survey, "session", key)
    decision = survey.decided.get(("session", key))
    invalid = schedule is not None and key in schedule.invalid_sessions
    if key in state.sessions:
        values = {"starts_at": state.sessions[key].starts_at} | _window(survey)
        if key in survey.withheld:
            why = {"in_the_source": _in_the_source(schedule, key)}
            return Verdict("withheld", name, values | why, survey.withheld[key])
        if invalid:
            return Verdict(
                "invalid_kept", name, values | _unreadable(schedule, key), survey.completed
            )
        if kept := _kept_fields(schedule, "session", key):
            return Verdict("fields_kept", name, values | kept, survey.completed)
        return Verdict("scheduled", name, values, decision)
    if (skip := state.skipped.get(key)) is not None:
        if isinstance(skip, SessionSkippedOutOfWindow):
            values = {
                "starts_at": skip.starts_at,
                "window_starts_at": skip.window_starts_at,
                "window_ends_at": skip.window_ends_at,
            }
            return Verdict(skip.reason, name, values, decision)
        if invalid:
            values = {"starts_at": skip.starts_at} | _unreadable(schedule, key)
            return Verdict("invalid_skipped", name, values, decision)
        planned = schedule.sessions.get(key) if schedule else None
        values = {"missing": skip.missing, "starts_at": skip.starts_at, "ends_at": skip.ends_at}
        if planned is not None and planned.room is not None and "room" in skip.missing:
            values |= {"unknown_room": planned.room}
        return Verdict("unscheduled", name, values, decision)
    if invalid:
        return Verdict("invalid_ignored", name, _unreadable(schedule, key), survey.completed)
    if decision is not None:
        last = state.past_sessions.get(key)
        values = {"last_started_at": last.starts_at} if last else {}
        return Verdict("missing_from_source", name, values, decision)
    return _not_in_the_log(survey, "session", key, name)


def entity_verdict(survey: Survey, kind: str, key: str) -> Verdict:
    """The verdict on a room or a speaker, by its Sessionize id."""
    state, schedule = survey.state, _newest(survey)
    name = name_of(survey, kind, key)
    decision = survey.decided.get((kind, key))
    present = key in (state.rooms if kind == "room" else state.speakers)
    listed, _ = _listed(schedule, kind)
    referring = _referring(survey, kind, key)
    id_ = our_id(survey, kind, key)
    if kind == "speaker" and id_ in survey.erased and not name:
        return Verdict("erased", name, {"linked_by": referring}, survey.erased[id_])
    if present:
        values = {"referred_to_by": referring}
        if kept := _kept_fields(schedule, kind, key):
            return Verdict("fields_kept", name, values | kept, survey.completed)
        return Verdict("imported", name, values, decision)
    if key in listed:
        planned = _planned_with(schedule, kind, key)
        not_imported = {"referred_to_by_sessions_that_are_not_imported": planned}
        return Verdict("unreferenced", name, not_imported, decision or survey.completed)
    if decision is not None and isinstance(decision.event, RoomWithdrawn | SpeakerWithdrawn):
        return Verdict(decision.event.reason, name, {}, decision)
    return _not_in_the_log(survey, kind, key, name)


def _not_in_the_log(survey: Survey, kind: str, key: str, name: str) -> Verdict:
    failed = survey.failed
    if failed is not None:
        listed, invalid = _listed(failed.schedule, kind)
        values = {"in_the_source": key in listed or key in invalid}
        if survey.completed is None or values["in_the_source"]:
            return Verdict("run_failed", name, values, failed)
    if survey.completed is None:
        return Verdict("no_sync_yet", name, {}, None)
    return Verdict("never_seen", name, {}, survey.completed)


def _newest(survey: Survey) -> Schedule | None:
    return survey.completed.schedule if survey.completed else None


def _listed(schedule: Schedule | None, kind: str) -> tuple[frozenset[str], frozenset[str]]:
    """The Sessionize ids that a document lists: readable and not."""
    if schedule is None:
        return frozenset(), frozenset()
    match kind:
        case "session":
            return frozenset(schedule.sessions), schedule.invalid_sessions
        case "room":
            return frozenset(schedule.rooms), frozenset()
        case _:
            return frozenset(schedule.speakers), frozenset()


def _unreadable(schedule: Schedule | None, key: str) -> dict[str, object]:
    """The fields of an unreadable session that cannot be read."""
    return {"unreadable": schedule.invalid_fields.get(key, ())} if schedule else {}


def _kept_fields(schedule: Schedule | None, kind: str, key: str) -> dict[str, object]:
    """The fields that the newest document has, but that cannot be read and keep their value."""
    fields = schedule.unreadable_fields(kind, key) if schedule else ()
    return {"unreadable": fields} if fields else {}


def _window(survey: Survey) -> dict[str, object]:
    if survey.completed is None or survey.completed.started is None:
        return {}
    bounds = bounds_of(survey.completed.started.window)
    return {"window_starts_at": bounds.starts_at, "window_ends_at": bounds.ends_at}


def _in_the_source(schedule: Schedule | None, key: str) -> str:
    """The state, in the newest document, of a session whose removal is withheld."""
    if schedule is None:
        return "the document was deleted"
    planned = schedule.sessions.get(key)
    if planned is None:
        return "missing"
    if planned.starts_at is None or planned.ends_at is None or planned.room is None:
        return "without time or room"
    return f"starts {planned.starts_at.isoformat()}"


def _referring(survey: Survey, kind: str, key: str) -> list[str]:
    """The imported sessions that refer to a room or a speaker."""
    id_ = our_id(survey, kind, key)
    return [
        f"{session.title} ({session.sessionize_id})"
        for session in survey.state.sessions.values()
        if (session.room_id == id_ if kind == "room" else id_ in session.speaker_ids)
    ][:_MAX_REFERRING]


def _planned_with(schedule: Schedule | None, kind: str, key: str) -> list[str]:
    """The sessions of a document that refer to a room or a speaker."""
    return [
        f"{planned.title} ({planned.sessionize_id})"
        for planned in (schedule.sessions.values() if schedule else ())
        if (planned.room == key if kind == "room" else key in planned.speakers)
    ][:_MAX_REFERRING]
