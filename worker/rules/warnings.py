"""Warnings about a schedule: allowed, but probably a mistake."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from contracts.events import Room, Session, SyncWarning
from worker.rules.bytes_of_json import json_bytes

MOST_OF_A_CODE = 50
"""Warnings of one code that a run reports one by one; the others are counted."""

MOST_BYTES = 256 * 1024
"""All warnings of a run together, as JSON."""

MOST_OVERLAPS = 1000
"""Stop looking for overlaps after this many: finding more takes long and helps nobody."""

_LONGEST_TITLE = 120
_LONGEST_MESSAGE = 1000


def short(title: str) -> str:
    """Shorten a title for a message."""
    return title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]}…"


def double_bookings(sessions: Iterable[Session], rooms: Mapping[str, Room]) -> list[SyncWarning]:
    """Warn of pairs of talks that overlap in one room. Service sessions, such as breaks, may."""
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
            warnings += [_overlap(first, second, where) for first in running]
            running.append(second)
            if len(warnings) >= MOST_OVERLAPS:
                return warnings
    return warnings


def _overlap(first: Session, second: Session, room: str) -> SyncWarning:
    return SyncWarning(
        code="room_double_booked",
        message=f"“{short(first.title)}” and “{short(second.title)}” overlap in the room "
        f"{short(room)}.",
        sessionize_ids=(first.sessionize_id, second.sessionize_id),
    )


def capped(warnings: Iterable[SyncWarning]) -> tuple[SyncWarning, ...]:
    """Keep up to `MOST_OF_A_CODE` of each code, as far as they fit; count the others per code.

    Events have to fit into a Kafka record, so all warnings together have up to `MOST_BYTES`.
    """
    seen: Counter[str] = Counter()
    cut: Counter[str] = Counter()
    kept = []
    size = 0
    for warning in warnings:
        seen[warning.code] += 1
        message = warning.message[:_LONGEST_MESSAGE]
        shown = msgspec.structs.replace(warning, message=message)
        if seen[warning.code] <= MOST_OF_A_CODE and size + json_bytes(shown) <= MOST_BYTES:
            size += json_bytes(shown)
            kept.append(shown)
        else:
            cut[warning.code] += 1
    for code, number in cut.items():
        kept.append(SyncWarning(code=code, message=f"… and {number} more like this."))
    return tuple(kept)
