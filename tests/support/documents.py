"""Small documents in the shape of `view/All`, and windows."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from contracts.codec import JsonObject
from contracts.messages import Window

BROKEN: JsonObject = {"title": None}
"""Makes a session unreadable: `talk("1") | BROKEN`."""


def days(first: int, last: int, time_zone: str = "Europe/Vienna") -> Window:
    """A window over days of May 2026, both inclusive."""
    return Window(starts_on=date(2026, 5, first), ends_on=date(2026, 5, last), time_zone=time_zone)


WINDOW = days(28, 29)


def talk(
    sessionize_id: object,
    at: str | None = "2026-05-28T09:00:00",
    until: str | None = None,
    *,
    room: object = 7,
    speakers: Iterable[object] = ("ada",),
    **fields: object,
) -> JsonObject:
    """`sessions[]`: three quarters of an hour in the window, in room 7, by ada."""
    if at is not None and until is None:
        until = (datetime.fromisoformat(at) + timedelta(minutes=45)).isoformat()
    return {
        "id": sessionize_id,
        "title": f"Talk {sessionize_id}",
        "description": "About it.",
        "startsAt": at,
        "endsAt": until,
        "isServiceSession": False,
        "isPlenumSession": False,
        "speakers": list(speakers),
        "roomId": room,
        "liveUrl": None,
        "recordingUrl": None,
    } | fields


def unscheduled(sessionize_id: object, **fields: object) -> JsonObject:
    """`sessions[]`: accepted, but without time and room."""
    return talk(sessionize_id, None, room=None) | fields


def speaker(sessionize_id: object, **fields: object) -> JsonObject:
    """`speakers[]`."""
    return {
        "id": sessionize_id,
        "firstName": str(sessionize_id).title(),
        "lastName": "Example",
        "fullName": f"{str(sessionize_id).title()} Example",
        "bio": None,
        "tagLine": "Speaks",
        "profilePicture": None,
        "isTopSpeaker": False,
        "links": [],
    } | fields


def room(sessionize_id: object, **fields: object) -> JsonObject:
    """`rooms[]`."""
    return {"id": sessionize_id, "name": f"Room {sessionize_id}", "sort": 1} | fields


def category(sessionize_id: object, title: object = "Track", /, **fields: object) -> JsonObject:
    """`categories[]`: category 1 has the items 11, Data, and 12, Web."""
    return {
        "id": sessionize_id,
        "title": title,
        "items": [item(f"{sessionize_id}1", "Data"), item(f"{sessionize_id}2", "Web")],
        "sort": 0,
        "type": "session",
    } | fields


def item(sessionize_id: object, name: object) -> JsonObject:
    """`categories[].items[]`."""
    return {"id": sessionize_id, "name": name, "sort": 1}


def document(
    *sessions: JsonObject,
    speakers: Iterable[JsonObject] | None = None,
    rooms: Iterable[JsonObject] | None = None,
    categories: Iterable[object] = (),
) -> JsonObject:
    """A document; by default it lists the speakers and rooms of its sessions."""
    if speakers is None:
        speakers = [speaker(key) for key in _ids(s for row in sessions for s in _speakers(row))]
    if rooms is None:
        rooms = [room(key) for key in _ids(row["roomId"] for row in sessions)]
    return {
        "sessions": list(sessions),
        "speakers": list(speakers),
        "questions": [],
        "categories": list(categories),
        "rooms": list(rooms),
    }


def _speakers(session: JsonObject) -> list[object]:
    speakers = session["speakers"]
    return speakers if isinstance(speakers, list) else []


def _ids(values: Iterable[object]) -> Iterable[object]:
    return dict.fromkeys(value for value in values if isinstance(value, (str, int)))


FIRST = document(
    talk("1", "2026-05-28T09:00:00", room=1, speakers=["ada"]),
    talk("2", "2026-05-28T10:00:00", room=2, speakers=["bob"]),
)
SECOND = document(
    talk("1", "2026-05-28T09:30:00", room=1, speakers=["ada"]),
    talk("3", "2026-05-29T10:00:00", room=2, speakers=["bob"]),
)
"""Two states of one schedule: a session has moved, one has gone, and one has come."""
