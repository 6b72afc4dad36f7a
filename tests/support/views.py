"""The public views of one event, in the form that `tests.support.corpus.expected` has."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.line import rows as rows_of


async def _shown(engine: AsyncEngine, view: str, event_id: UUID) -> list[dict[str, object]]:
    """Return the rows that are not withdrawn."""
    found = await rows_of(engine, view, event_id)
    return [row for row in found if row["status"] != "withdrawn"]


async def imported(engine: AsyncEngine, event_id: UUID) -> dict[str, dict[str, Any]]:
    """Return the rows that the public views show now, keyed by Sessionize id."""
    sessions = await _shown(engine, "sessions", event_id)
    rooms = await _shown(engine, "rooms", event_id)
    speakers = await _shown(engine, "event_speakers", event_id)
    links = await rows_of(engine, "session_speakers", event_id)
    room_keys = {room["room_id"]: room["sessionize_id"] for room in rooms}
    people = await rows_of(engine, "event_speakers", event_id)
    speaker_keys = {person["speaker_id"]: person["sessionize_id"] for person in people}
    links.sort(key=lambda link: int(str(link["ordinal"])))
    lineup: dict[object, list[object]] = {}
    for link in links:
        lineup.setdefault(link["session_id"], []).append(speaker_keys[link["speaker_id"]])
    hidden = {
        *("spreaview_event_id", "organization_id", "sessionize_id", "position", "status"),
        *("session_id", "session_code", "room_id", "speaker_id"),
    }

    def columns(row: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in row.items() if name not in hidden}

    return {
        "sessions": {
            str(s["sessionize_id"]): columns(s)
            | {
                "room": room_keys[s["room_id"]],
                "speakers": lineup.get(s["session_id"], []),
            }
            for s in sessions
        },
        "rooms": {str(r["sessionize_id"]): columns(r) for r in rooms},
        "speakers": {str(p["sessionize_id"]): columns(p) for p in speakers},
    }
