"""Placing: each session of a document is scheduled, or skipped with the reason."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts import identity
from contracts.events import (
    Session,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SyncStarted,
    SyncWarning,
)
from worker.rules.compare import changed_fields, same_skip
from worker.rules.schedule import PlannedSession, Reading, Schedule
from worker.rules.state import Skip, State
from worker.rules.warnings import double_bookings, short
from worker.rules.window import Bounds, bounds_of

_ACCEPTED = "Accepted"


class ImportCommand(NamedTuple):
    """The part of a request that decides what is imported."""

    sync_id: UUID
    organization_id: UUID
    spreaview_event_id: UUID
    bounds: Bounds
    ordered_at: datetime
    force: bool
    allow_removals: int | None
    api_id_fingerprint: str

    def facts(self) -> dict[str, UUID]:
        """Return the ids that each event of the run carries."""
        return {
            "sync_id": self.sync_id,
            "organization_id": self.organization_id,
            "spreaview_event_id": self.spreaview_event_id,
        }


def command_of(started: SyncStarted) -> ImportCommand:
    """Return the command of a run in the log. Raises `InvalidWindowError`."""
    return ImportCommand(
        sync_id=started.sync_id,
        organization_id=started.organization_id,
        spreaview_event_id=started.spreaview_event_id,
        bounds=bounds_of(started.window),
        ordered_at=started.ordered_at,
        force=started.force,
        allow_removals=started.allow_removals,
        api_id_fingerprint=started.api_id_fingerprint,
    )


class Placement(NamedTuple):
    """The sessions of a document, scheduled or skipped; keyed by Sessionize id."""

    sessions: dict[str, Session]
    skips: dict[str, Skip]
    warnings: list[SyncWarning]


def place_sessions(state: State, schedule: Schedule, command: ImportCommand) -> Placement:
    """Schedule or skip each session of a settled schedule.

    A session outside the window is skipped for that reason, even if something else is missing. A
    session without a time or a known room is skipped as unscheduled. A speaker whom the document
    does not list is left out. An unreadable session stays as it was last imported, unless that
    lies outside the window. `choose_sessions` decides between several sessions with one id.
    """
    placed = Placement({}, {}, list(schedule.warnings))
    for key, planned in choose_sessions(state, schedule, command).sessions.items():
        place = _place(planned, state, schedule, command)
        if isinstance(place, Session):
            placed.sessions[key] = place
            unknown = tuple(who for who in planned.speakers if who not in schedule.speakers)
            if unknown:
                placed.warnings.append(_unknown("speaker", planned, unknown))
            if planned.unknown_topics:
                placed.warnings.append(_unknown("topic", planned, planned.unknown_topics))
            if planned.status is not None and planned.status != _ACCEPTED:
                placed.warnings.append(_not_accepted(planned))
        else:
            placed.skips[key] = place
            if planned.room is not None and "room" in getattr(place, "missing", ()):
                placed.warnings.append(_unknown("room", planned, (planned.room,)))
    _keep_unreadable(state, schedule, command, placed)
    _warn(schedule, placed, command.bounds)
    return placed


def choose_sessions(state: State, schedule: Schedule, command: ImportCommand) -> Schedule:
    """Return a settled schedule with one reading of each session: the one that counts.

    Of several sessions with one id, the one that is imported already counts, else the first that
    can be scheduled, else the one that is skipped already, else the first.
    """
    chosen = {
        key: _chosen(key, readings, state, schedule, command)
        for key, readings in schedule.session_readings.items()
    }
    return schedule._replace(
        sessions=schedule.sessions | {key: reading.entity for key, reading in chosen.items()},
        session_readings={key: (reading,) for key, reading in chosen.items()},
    )


def all_start_outside(schedule: Schedule, bounds: Bounds) -> bool:
    """Whether each session that has a time starts outside the window, and one has a time."""
    starts = [planned.starts_at for planned in schedule.all_sessions() if planned.starts_at]
    return bool(starts) and all(bounds.place(start) != "in_window" for start in starts)


def _place(
    planned: PlannedSession, state: State, schedule: Schedule, command: ImportCommand
) -> Session | Skip:
    was_imported = planned.sessionize_id in state.sessions
    if planned.starts_at is not None and command.bounds.place(planned.starts_at) != "in_window":
        return _outside(planned, command, was_imported=was_imported)
    if missing := _missing(planned, schedule.rooms):
        return _unscheduled(planned, command, missing, was_imported=was_imported)
    return _session(planned, command, schedule)


def _chosen(
    key: str,
    readings: Sequence[Reading[PlannedSession]],
    state: State,
    schedule: Schedule,
    command: ImportCommand,
) -> Reading[PlannedSession]:
    if len(readings) == 1:
        return readings[0]
    places = [(reading, _place(reading.entity, state, schedule, command)) for reading in readings]
    candidates = [found for found in places if isinstance(found[1], Session)] or places
    imported, skipped = state.sessions.get(key), state.skipped.get(key)
    known = [found for found in candidates if _is_known(found[1], imported, skipped)]
    whole = (reading for reading, _ in known if not reading.unreadable)
    return next(whole, (known or candidates)[0][0])


def _is_known(place: Session | Skip, imported: Session | None, skipped: Skip | None) -> bool:
    if isinstance(place, Session):
        return imported is not None and not changed_fields(imported, place)
    return skipped is not None and same_skip(place, skipped)


def _keep_unreadable(
    state: State, schedule: Schedule, command: ImportCommand, placed: Placement
) -> None:
    """Place the unreadable sessions by their last version or their skip."""
    for key in sorted(schedule.invalid_sessions & state.sessions.keys()):
        last = state.sessions[key]
        if command.bounds.place(last.starts_at) == "in_window":
            placed.sessions[key] = last
        else:
            placed.skips[key] = _outside(last, command, was_imported=True)
    for key in sorted(schedule.invalid_sessions & state.skipped.keys()):
        skip, past = state.skipped[key], state.past_sessions.get(key)
        if skip.starts_at is not None and command.bounds.place(skip.starts_at) != "in_window":
            placed.skips[key] = _outside(skip, command, was_imported=False)
        elif isinstance(skip, SessionSkippedUnscheduled):
            placed.skips[key] = skip
        elif past is not None and past.starts_at == skip.starts_at:
            placed.sessions[key] = past
        else:
            missing = schedule.invalid_fields[key]
            placed.skips[key] = _unscheduled(skip, command, missing, was_imported=False)


def _warn(schedule: Schedule, placed: Placement, bounds: Bounds) -> None:
    placed.warnings.extend(
        SyncWarning(
            code="session_ends_before_it_starts",
            message=f"“{short(session.title)}” ends before it starts. Correct its time in "
            "Sessionize.",
            sessionize_ids=(key,),
        )
        for key, session in placed.sessions.items()
        if session.ends_at < session.starts_at
    )
    placed.warnings.extend(double_bookings(placed.sessions.values(), schedule.rooms))
    if not placed.sessions and all_start_outside(schedule, bounds):
        placed.warnings.append(
            SyncWarning(
                code="no_session_in_window",
                message=f"None of the {schedule.listed} sessions starts within the event's dates. "
                "Compare the dates of the event in SpreaView with the schedule in Sessionize.",
            )
        )


def _outside(
    session: PlannedSession | Session | Skip, command: ImportCommand, *, was_imported: bool
) -> SessionSkippedOutOfWindow:
    if session.starts_at is None:
        raise ValueError(f"session {session.sessionize_id} has no start")
    place = command.bounds.place(session.starts_at)
    return SessionSkippedOutOfWindow(
        **command.facts(),
        session_id=identity.session_id(command.spreaview_event_id, session.sessionize_id),
        sessionize_id=session.sessionize_id,
        title=session.title,
        starts_at=session.starts_at,
        ends_at=session.ends_at,
        reason="before_window" if place == "before_window" else "after_window",
        window_starts_at=command.bounds.starts_at,
        window_ends_at=command.bounds.ends_at,
        was_imported=was_imported,
    )


def _unscheduled(
    planned: PlannedSession | Skip,
    command: ImportCommand,
    missing: tuple[str, ...],
    *,
    was_imported: bool,
) -> SessionSkippedUnscheduled:
    return SessionSkippedUnscheduled(
        **command.facts(),
        session_id=identity.session_id(command.spreaview_event_id, planned.sessionize_id),
        sessionize_id=planned.sessionize_id,
        title=planned.title,
        starts_at=planned.starts_at,
        ends_at=planned.ends_at,
        missing=missing,
        was_imported=was_imported,
    )


def _session(planned: PlannedSession, command: ImportCommand, schedule: Schedule) -> Session:
    if planned.starts_at is None or planned.ends_at is None or planned.room is None:
        raise ValueError(f"session {planned.sessionize_id} is not scheduled")
    session_id = identity.session_id(command.spreaview_event_id, planned.sessionize_id)
    return Session(
        session_id=session_id,
        session_code=identity.session_code(session_id),
        sessionize_id=planned.sessionize_id,
        title=planned.title,
        abstract=planned.abstract,
        room_id=schedule.rooms[planned.room].room_id,
        starts_at=planned.starts_at,
        ends_at=planned.ends_at,
        is_service_session=planned.is_service_session,
        is_plenum_session=planned.is_plenum_session,
        live_url=planned.live_url,
        recording_url=planned.recording_url,
        speaker_ids=tuple(
            schedule.speakers[speaker].speaker_id
            for speaker in planned.speakers
            if speaker in schedule.speakers
        ),
        topics=planned.topics,
    )


def _missing(planned: PlannedSession, known_rooms: Collection[str]) -> tuple[str, ...]:
    missing = []
    if planned.starts_at is None:
        missing.append("starts_at")
    if planned.ends_at is None:
        missing.append("ends_at")
    if planned.room is None or planned.room not in known_rooms:
        missing.append("room")
    return tuple(missing)


def _not_accepted(planned: PlannedSession) -> SyncWarning:
    return SyncWarning(
        code="session_not_accepted",
        message=f"“{short(planned.title)}” is imported, although its status in Sessionize is "
        f"{short(planned.status or '')}. If it should not be, exclude it by the filter of the "
        "endpoint.",
        sessionize_ids=(planned.sessionize_id,),
    )


def _unknown(kind: str, planned: PlannedSession, ids: Sequence[str]) -> SyncWarning:
    return SyncWarning(
        code=f"unknown_{kind}",
        message=f"“{short(planned.title)}” refers to a {kind} that the schedule does not contain: "
        f"{', '.join(ids)}.",
        sessionize_ids=(planned.sessionize_id,),
    )
