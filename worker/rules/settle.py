"""Settling a schedule against the state: spellings of ids, unreadable fields, ids listed twice."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from contracts import identity
from contracts.events import Room, Session, Speaker, SyncWarning
from worker.rules.compare import changed_fields
from worker.rules.schedule import PlannedSession, Reading, Schedule
from worker.rules.spelling import known_spellings
from worker.rules.state import State

Shown = TypeVar("Shown", Room, Speaker)
V = TypeVar("V")


class Ids(Protocol):
    """The namespaces of our ids."""

    @property
    def organization_id(self) -> UUID:
        """The owner of the SpreaView event."""

    @property
    def spreaview_event_id(self) -> UUID:
        """The conference or meetup."""


def settle(state: State, schedule: Schedule, ids: Ids) -> Schedule:
    """Return the schedule in the stream's spelling, with a value for each field.

    A field that cannot be read has its last value, if there is one. Of rooms and speakers listed
    several times, the one that is imported already counts, else the first without an unreadable
    field, else the first; only this reading is left. Sessions listed several times are left to
    `choose_sessions`, since the window decides between them.
    """
    schedule = respelled(state, schedule, ids)
    rooms = {
        key: _settled(readings, state.rooms.get(key), state.past_rooms.get(key))
        for key, readings in schedule.room_readings.items()
    }
    speakers = {
        key: _settled(readings, state.speakers.get(key), state.past_speakers.get(key))
        for key, readings in schedule.speaker_readings.items()
    }
    return schedule._replace(
        rooms=schedule.rooms | {key: reading.entity for key, reading in rooms.items()},
        speakers=schedule.speakers | {key: reading.entity for key, reading in speakers.items()},
        room_readings={key: (reading,) for key, reading in rooms.items()},
        speaker_readings={key: (reading,) for key, reading in speakers.items()},
        session_readings={
            key: tuple(
                Reading(
                    _planned(reading, state.sessions.get(key) or state.past_sessions.get(key)),
                    reading.unreadable,
                )
                for reading in readings
            )
            for key, readings in schedule.session_readings.items()
        },
    )


def _settled(
    readings: Sequence[Reading[Shown]], imported: Shown | None, past: Shown | None
) -> Reading[Shown]:
    filled = [_filled(reading, imported or past) for reading in readings]
    if imported is not None:
        same = [each for each in filled if not changed_fields(imported, each.entity)]
        filled = same or filled
    return next((each for each in filled if not each.unreadable), filled[0])


def _filled(reading: Reading[Shown], last: Shown | None) -> Reading[Shown]:
    if last is None:
        return reading
    kept = {name: getattr(last, name) for name in reading.unreadable}
    return reading._replace(entity=msgspec.structs.replace(reading.entity, **kept))


def _planned(reading: Reading[PlannedSession], last: Session | None) -> PlannedSession:
    if last is None:
        return reading.entity
    kept = {name: getattr(last, name) for name in reading.unreadable if hasattr(last, name)}
    return reading.entity._replace(**kept)


def respelled(state: State, schedule: Schedule, ids: Ids) -> Schedule:
    """Return the schedule with the ids that the stream knows in the spelling of the stream."""
    sessions = known_spellings(state.sessions, state.skipped, state.past_sessions)
    rooms = known_spellings(state.rooms, state.past_rooms)
    speakers = known_spellings(state.speakers, state.past_speakers)
    if not (sessions or rooms or speakers):
        return schedule

    def session(planned: PlannedSession) -> PlannedSession:
        return planned._replace(
            sessionize_id=sessions.get(planned.sessionize_id, planned.sessionize_id),
            room=planned.room and rooms.get(planned.room, planned.room),
            speakers=tuple(speakers.get(key, key) for key in planned.speakers),
        )

    def room(found: Room) -> Room:
        if (key := rooms.get(found.sessionize_id)) is None:
            return found
        id_ = identity.room_id(ids.spreaview_event_id, key)
        return msgspec.structs.replace(found, sessionize_id=key, room_id=id_)

    def speaker(found: Speaker) -> Speaker:
        if (key := speakers.get(found.sessionize_id)) is None:
            return found
        id_ = identity.speaker_id(ids.organization_id, key)
        return msgspec.structs.replace(found, sessionize_id=key, speaker_id=id_)

    spelled = {**rooms, **speakers, **sessions}
    return schedule._replace(
        sessions={k: session(v) for k, v in _renamed(schedule.sessions, sessions).items()},
        rooms={k: room(v) for k, v in _renamed(schedule.rooms, rooms).items()},
        speakers={k: speaker(v) for k, v in _renamed(schedule.speakers, speakers).items()},
        invalid_sessions=frozenset(sessions.get(key, key) for key in schedule.invalid_sessions),
        invalid_fields=_renamed(schedule.invalid_fields, sessions),
        session_readings={
            key: tuple(reading._replace(entity=session(reading.entity)) for reading in readings)
            for key, readings in _renamed(schedule.session_readings, sessions).items()
        },
        room_readings={
            key: tuple(reading._replace(entity=room(reading.entity)) for reading in readings)
            for key, readings in _renamed(schedule.room_readings, rooms).items()
        },
        speaker_readings={
            key: tuple(reading._replace(entity=speaker(reading.entity)) for reading in readings)
            for key, readings in _renamed(schedule.speaker_readings, speakers).items()
        },
        warnings=tuple(_warning(warning, spelled) for warning in schedule.warnings),
    )


def _renamed(found: Mapping[str, V], spelled: Mapping[str, str]) -> dict[str, V]:
    return {spelled.get(key, key): value for key, value in found.items()}


def _warning(warning: SyncWarning, spelled: Mapping[str, str]) -> SyncWarning:
    ids = tuple(spelled.get(key, key) for key in warning.sessionize_ids)
    return msgspec.structs.replace(warning, sessionize_ids=ids)
