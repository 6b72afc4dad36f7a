"""Choosing the rule of the import that keeps an entity in or out. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from audit.explain.lookup import name_of, our_id
from audit.explain.survey import Decision, EndedRun, Survey
from contracts.events import (
    RoomWithdrawn,
    SessionSkippedOutOfWindow,
    SpeakerWithdrawn,
    SyncCompleted,
)
from contracts.instants import utc_text
from projections.changes import is_erased
from worker.rules.schedule import Schedule
from worker.rules.window import bounds_of

_NOT_KEPT = "the document is not kept"
_PLACING = frozenset({"starts_at", "ends_at", "room"})
"""The fields that decide where a session is placed. Any other field in `missing` is unreadable."""
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
    warned = schedule is None and _is_warned(survey, key)
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
        if (kept := _kept_fields(schedule, "session", key)) or warned:
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
        if invalid or (warned and not _PLACING.issuperset(skip.missing)):
            values = {"starts_at": skip.starts_at} | _unreadable(schedule, key)
            return Verdict("invalid_skipped", name, values, decision)
        planned = schedule.sessions.get(key) if schedule else None
        values = {"missing": skip.missing, "starts_at": skip.starts_at, "ends_at": skip.ends_at}
        if planned is not None and planned.room is not None and "room" in skip.missing:
            values |= {"unknown_room": planned.room}
        return Verdict("unscheduled", name, values, decision)
    if invalid or warned:
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
    listed = _listed(schedule, kind)[0] | _unreferenced(survey, kind)
    referring = _referring(survey, kind, key)
    if kind == "speaker" and _is_erased(survey, key):
        id_ = our_id(survey, kind, key)
        erasure = survey.erased.get(id_) if id_ is not None else None
        return Verdict("erased", name, {"linked_by": referring}, erasure or decision)
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


def _is_erased(survey: Survey, key: str) -> bool:
    """Whether a speaker was imported, and is erased: perhaps before this event imported them."""
    speaker = (survey.state.past_speakers | survey.state.speakers).get(key)
    return speaker is not None and is_erased(msgspec.structs.asdict(speaker))


def _not_in_the_log(survey: Survey, kind: str, key: str, name: str) -> Verdict:
    failed = survey.failed
    if failed is not None:
        listed, invalid = _listed(failed.schedule, kind)
        values = {"in_the_source": key in listed or key in invalid}
        if failed.has_lost_document:
            return Verdict("run_failed", name, {"in_the_source": _NOT_KEPT}, failed)
        if survey.completed is None or values["in_the_source"]:
            return Verdict("run_failed", name, values, failed)
    if survey.completed is None:
        return Verdict("no_sync_yet", name, {}, None)
    if survey.completed.has_lost_document:
        return Verdict("document_not_kept", name, {}, survey.completed)
    return Verdict("never_seen", name, {}, survey.completed)


def _is_warned(survey: Survey, key: str) -> bool:
    """Whether the last completed run warned that the entry of a session cannot be read."""
    outcome = survey.completed.outcome if survey.completed else None
    return any(
        warning.code == "invalid_session" and key in warning.sessionize_ids
        for warning in (outcome.warnings if isinstance(outcome, SyncCompleted) else ())
    )


def _unreferenced(survey: Survey, kind: str) -> frozenset[str]:
    """The rooms or speakers that the last completed run listed and did not import."""
    outcome = survey.completed.outcome if survey.completed else None
    if not isinstance(outcome, SyncCompleted):
        return frozenset()
    of_kind = outcome.unreferenced_rooms if kind == "room" else outcome.unreferenced_speakers
    return frozenset(of_kind or ())


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
        return _NOT_KEPT
    planned = schedule.sessions.get(key)
    if planned is None:
        return "missing"
    if planned.starts_at is None or planned.ends_at is None or planned.room is None:
        return "without time or room"
    if planned.room not in schedule.rooms:
        return f"in the room {planned.room}, which the document does not list"
    return f"starts {utc_text(planned.starts_at)}"


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
