"""Arranging sessions for people: days → rooms → sessions, and a room at one moment. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from projections.http.models import Day, RoomDay, RoomRef, SessionView


def days_of(sessions: Sequence[SessionView]) -> tuple[Day, ...]:
    """Group sessions by the local day of their start, then by room.

    Rooms are in their order (`sort`, then name); sessions by start, end, title and code.
    """
    days: dict[date, dict[UUID, list[SessionView]]] = {}
    rooms: dict[UUID, RoomRef] = {}
    for session in sorted(sessions, key=_order):
        rooms[session.room.room_id] = session.room
        day = days.setdefault(date.fromisoformat(session.starts_at_local[:10]), {})
        day.setdefault(session.room.room_id, []).append(session)
    return tuple(
        Day(
            date=day,
            rooms=tuple(
                RoomDay(room_id=id_, name=rooms[id_].name, sessions=tuple(held))
                for id_, held in sorted(by_room.items(), key=lambda it: _room_order(rooms[it[0]]))
            ),
        )
        for day, by_room in sorted(days.items())
    )


class Moment(NamedTuple):
    """The sessions of a room around one moment."""

    previous: SessionView | None
    current: tuple[SessionView, ...]
    next: SessionView | None
    changes_at: datetime | None


def room_at(sessions: Sequence[SessionView], at: datetime) -> Moment:
    """The sessions of one room around a moment.

    A session is current if start ≤ `at` < end. The previous one ended last, at or before `at`; the
    next one starts first after `at`. A session that ends at its start, or before it, is never
    current: it is the previous one from its start on. The answer changes at the first start or end
    after `at`.
    """
    current = sorted((s for s in sessions if s.starts_at <= at < _end(s)), key=_order)
    over = [s for s in sessions if _end(s) <= at]
    to_come = [s for s in sessions if s.starts_at > at]
    boundaries = [t for s in sessions for t in (s.starts_at, _end(s)) if t > at]
    return Moment(
        previous=max(over, key=lambda s: (_end(s), *_order(s)), default=None),
        current=tuple(current),
        next=min(to_come, key=_order, default=None),
        changes_at=min(boundaries, default=None),
    )


def _end(session: SessionView) -> datetime:
    return max(session.starts_at, session.ends_at)


def _order(session: SessionView) -> tuple[datetime, datetime, str, str]:
    return session.starts_at, session.ends_at, session.title, session.session_code


def _room_order(room: RoomRef) -> tuple[int, str, str]:
    return room.sort, room.name, str(room.room_id)
