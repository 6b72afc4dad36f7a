"""The schedule of a Sessionize document in a window: a second implementation of the rules."""

import json
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo


class Slot(NamedTuple):
    """The fields of a session that the oracle compares."""

    title: str
    starts_at: datetime
    room: str
    """The room's Sessionize id."""


def scheduled(body: bytes, starts_on: date, ends_on: date, time_zone: str) -> dict[str, Slot]:
    """Return the sessions with time and room that start in the window, by Sessionize id."""
    document = json.loads(body)
    zone = ZoneInfo(time_zone)
    begin = datetime.combine(starts_on, time(), zone)
    end = datetime.combine(ends_on + timedelta(days=1), time(), zone)
    rooms = {str(room["id"]) for room in document["rooms"]}
    found: dict[str, Slot] = {}
    for row in document["sessions"]:
        if row["startsAt"] and row["endsAt"] and str(row["roomId"]) in rooms:
            starts_at = _instant(row["startsAt"], zone)
            if begin <= starts_at < end:
                found[str(row["id"])] = Slot(_clean(row["title"]), starts_at, str(row["roomId"]))
    return found


def shown(sessions: list[dict[str, Any]], rooms: list[dict[str, Any]]) -> dict[str, Slot]:
    """Return the same from rows of the read models."""
    names = {room["room_id"]: room["sessionize_id"] for room in rooms}
    return {
        row["sessionize_id"]: Slot(
            row["title"],
            datetime.fromisoformat(row["starts_at"]),
            names[row["room_id"]],
        )
        for row in sessions
        if row["status"] == "scheduled"
    }


def _instant(text: str, zone: ZoneInfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _clean(text: str) -> str:
    for line_break in ("\v", "\f", "\x85", "\u2028", "\u2029"):
        text = text.replace(line_break, " ")
    text = text.replace("\r\n", "\n").replace("\r", " ")
    kept = (
        c
        for c in text
        if c in "\t\n"
        or (unicodedata.category(c) not in ("Cc", "Cs") and c not in "\u200b\u2060\ufeff")
    )
    return unicodedata.normalize("NFC", "".join(kept)).strip()
