"""Warnings about a schedule: things that are allowed and still look like mistakes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from contracts.events import Room, Session, SyncWarning

MOST_OF_A_CODE = 50
"""Warnings of one code that a run reports one by one; the rest is counted."""


def double_bookings(sessions: Iterable[Session], rooms: Mapping[str, Room]) -> list[SyncWarning]:
    """Pairs of talks in one room that overlap. Breaks and other service sessions may."""
    by_room: dict[UUID, list[Session]] = defaultdict(list)
    for session in sessions:
        if not session.is_service_session:
            by_room[session.room_id].append(session)
    names = {room.room_id: room.name for room in rooms.values()}
    warnings: list[SyncWarning] = []
    for room_id, booked in by_room.items():
        booked.sort(key=lambda session: (session.starts_at, session.sessionize_id))
        running: list[Session] = []
        for second in booked:
            running = [first for first in running if second.starts_at < first.ends_at]
            where = names.get(room_id, "of an earlier import")
            warnings += [_overlap(first, second, where) for first in running[:MOST_OF_A_CODE]]
            running.append(second)
    return warnings


def _overlap(first: Session, second: Session, room: str) -> SyncWarning:
    return SyncWarning(
        code="room_double_booked",
        message=f"“{first.title}” and “{second.title}” overlap in the room {room}.",
        sessionize_ids=(first.sessionize_id, second.sessionize_id),
    )


def capped(warnings: Iterable[SyncWarning]) -> tuple[SyncWarning, ...]:
    """At most `MOST_OF_A_CODE` of each code, and one that counts the rest: bounded events."""
    seen: Counter[str] = Counter()
    kept = []
    for warning in warnings:
        seen[warning.code] += 1
        if seen[warning.code] <= MOST_OF_A_CODE:
            kept.append(warning)
    for code, number in seen.items():
        if number > MOST_OF_A_CODE:
            rest = number - MOST_OF_A_CODE
            kept.append(SyncWarning(code=code, message=f"… and {rest} more like this."))
    return tuple(kept)
