"""A synthetic conference: a document like Sessionize's `view/All`, about people who do not exist.

Every value is derived from a seed by hashing, so the same arguments give the same document with
every version of Python and on every platform. The ids, titles and texts of talks and the GUIDs and
profiles of speakers depend on the seed only: documents of one seed are states of one conference.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from cli.sandbox.view_all import RoomElement, ScheduleDocument, SessionElement, SpeakerElement
from cli.sandbox.vocabulary import (
    ANGLES,
    CATEGORIES,
    FIRMS,
    FIRST_NAMES,
    LAST_NAMES,
    ROOMS,
    SENTENCES,
    SUBJECTS,
    WORK,
)
from contracts.messages import Window

STARTS_ON = date(2026, 5, 28)
TIME_ZONE = "Europe/Vienna"


class _Placement(NamedTuple):
    """The wall time, without a zone, and the room, counted from 0."""

    starts_at: datetime
    ends_at: datetime
    room: int


_SLOTS = (time(10), time(11, 15), time(13, 15), time(14, 15), time(15, 30), time(16, 30))
_TALK_MINUTES = 45
# Indexes of talks that lie outside a window over the days of the conference.
_UNSCHEDULED, _DAY_BEFORE, _DAY_AFTER = 9, 10, 11


def conference(
    seed: str,
    *,
    days: int = 2,
    rooms: int = 4,
    sessions: int = 24,
    speakers: int | None = None,
    starts_on: date = STARTS_ON,
    utc: bool = False,
    announced: bool = True,
) -> ScheduleDocument:
    """A document like `view/All`, with `sessions` talks and a few service sessions.

    With 12 or more talks, three lie outside `conference_window`: one has no time and no room, one
    is on the day before, one on the day after. No two sessions of a room overlap. If the talks do
    not fit into six slots a day, rooms are added, never days. One more room is listed that no
    session uses. Without talks there are no sessions.

    Example:
        document = conference("demo2026", days=1, sessions=12)

    Args:
        seed: Any text, for example an API ID.
        days: Days of the conference, without the day before and the day after.
        rooms: Rooms with talks.
        sessions: Talks; their ids are digits.
        speakers: Speakers, most with at least one talk; by default five for six talks.
        starts_on: The first day.
        utc: Write times like the endpoint's option "Use UTC timezone for schedule".
        announced: If false, every time and room is null, and rooms and service sessions are left
            out.

    Raises:
        ValueError: a number is negative, or `days` or `rooms` is 0.
    """
    if days < 1 or rooms < 1 or sessions < 0 or (speakers is not None and speakers < 0):
        raise ValueError("a conference has at least one day and one room, and no negative numbers")
    places = _placements(sessions, rooms, days, starts_on) if announced else [None] * sessions
    services = _services(days, starts_on) if announced and sessions else []
    listed = 1 + max([rooms, *(place.room + 1 for place in places if place)])
    first_room = 10_000 + _number(seed, "rooms") % 80_000
    write = _Writer(seed, first_room, utc)
    rows = [write.talk(index, place) for index, place in enumerate(places)]
    people = [
        write.speaker(index)
        for index in range(_ceiling(5 * sessions, 6) if speakers is None else speakers)
    ]
    _introduce(people, rows)
    rows += [write.service(index, *service) for index, service in enumerate(services)]
    rows.sort(key=lambda row: row["startsAt"] or "~")
    return ScheduleDocument(
        sessions=rows,
        speakers=people,
        questions=[],
        categories=[_category(*category) for category in CATEGORIES],
        rooms=[
            RoomElement(id=first_room + index, name=_room_name(index, listed), sort=index)
            for index in range(listed if announced else 0)
        ],
    )


def conference_window(*, days: int = 2, starts_on: date = STARTS_ON) -> Window:
    """The first and the last day of a `conference` with the same arguments."""
    return Window(
        starts_on=starts_on, ends_on=starts_on + timedelta(days=days - 1), time_zone=TIME_ZONE
    )


def encode_conference(document: ScheduleDocument) -> bytes:
    """The document as a response body: UTF-8 without byte order mark, indented by two."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


class _Writer(NamedTuple):
    """Builds the elements of one document."""

    seed: str
    first_room: int
    utc: bool

    def talk(self, index: int, place: _Placement | None) -> SessionElement:
        number = _number(self.seed, "talk", index)
        # Each talk has its own range of 17 numbers, so that ids are unique for any number of talks.
        talk_id = 100_000 + _number(self.seed, "talks") % 800_000 + 17 * index + number % 17
        row = self._row(str(talk_id), _title(self.seed, index), place)
        row["description"] = None if index % 11 == 5 else _text(number)
        row["categoryItems"] = [101 + number % 3, 201 + number // 3 % 3]
        row["liveUrl"] = f"https://video.example/live/{talk_id}" if index % 6 == 0 else None
        row["status"] = "Accepted"
        row["isConfirmed"] = index % 4 != 2
        return row

    def service(self, index: int, title: str, place: _Placement) -> SessionElement:
        row = self._row(_guid(self.seed, "service", index), title, place)
        row["isServiceSession"] = True
        row["isPlenumSession"] = title.endswith("keynote")
        row["isInformed"] = row["isConfirmed"] = False
        return row

    def speaker(self, index: int) -> SpeakerElement:
        guid = _guid(self.seed, "speaker", index)
        number = _number(self.seed, "speaker", index)
        first = _pick(FIRST_NAMES, number)
        last = "" if index % 14 == 9 else _pick(LAST_NAMES, number >> 8)
        tag_line = f"{_pick(WORK, number >> 16)} at {_pick(FIRMS, number >> 24)}"
        url = f"{'HTTPS' if index % 3 == 1 else 'https'}://{guid[:8]}.example/{'  ' * (index % 2)}"
        links = [{"title": "Blog", "url": url, "linkType": "Blog"}]
        return SpeakerElement(
            id=guid,
            firstName=first,
            lastName=last,
            bio=None if index % 7 == 3 else f"{first} likes questions.\r\n{_text(number >> 32)}",
            tagLine=None if index % 6 == 4 else tag_line,
            profilePicture=f"https://images.example/{guid}.jpg" if index % 9 != 5 else None,
            isTopSpeaker=index % 8 == 0,
            links=links if index % 5 else [],
            sessions=[],
            fullName=f"{first} {last}".strip(),
            categoryItems=[],
            questionAnswers=[],
        )

    def _row(self, row_id: str, title: str, place: _Placement | None) -> SessionElement:
        return SessionElement(
            id=row_id,
            title=title,
            description=None,
            startsAt=self._time(place.starts_at) if place else None,
            endsAt=self._time(place.ends_at) if place else None,
            isServiceSession=False,
            isPlenumSession=False,
            speakers=[],
            categoryItems=[],
            questionAnswers=[],
            roomId=self.first_room + place.room if place else None,
            liveUrl=None,
            recordingUrl=None,
            status=None,
            isInformed=True,
            isConfirmed=True,
        )

    def _time(self, wall: datetime) -> str:
        if not self.utc:
            return wall.isoformat()
        utc = wall.replace(tzinfo=ZoneInfo(TIME_ZONE)).astimezone(UTC)
        return utc.replace(tzinfo=None).isoformat() + "Z"


def _placements(sessions: int, rooms: int, days: int, starts_on: date) -> list[_Placement | None]:
    """Spread the talks over the days and over each day's slots; None for the unscheduled talk."""
    places: list[_Placement | None] = [None] * sessions
    for index, day in ((_DAY_BEFORE, -1), (_DAY_AFTER, days)):
        if index < sessions:
            places[index] = _placement(starts_on, day, time(9), 180)
    proper = [i for i in range(sessions) if i not in (_UNSCHEDULED, _DAY_BEFORE, _DAY_AFTER)]
    for day in range(days):
        talks = proper[day::days]
        parallel = max(rooms, _ceiling(len(talks), len(_SLOTS)))
        needed = _ceiling(len(talks), parallel)
        for position, index in enumerate(talks):
            slot, room = divmod(position, parallel)
            begin = _SLOTS[slot * len(_SLOTS) // needed]
            places[index] = _placement(starts_on, day, begin, _TALK_MINUTES, room)
    return places


def _services(days: int, starts_on: date) -> list[tuple[str, _Placement]]:
    """The service sessions between the talks, in the first room."""
    services = [("Opening keynote", _placement(starts_on, 0, time(9), 50))]
    for day in range(days):
        services += [
            ("Registration ☕", _placement(starts_on, day, time(8), 60)),
            ("Coffee break", _placement(starts_on, day, time(10, 45), 30)),
            ("Lunch", _placement(starts_on, day, time(12), 75)),
            ("Coffee break", _placement(starts_on, day, time(15), 30)),
        ]
    return [*services, ("Closing keynote", _placement(starts_on, days - 1, time(17, 15), 45))]


def _placement(starts_on: date, day: int, begin: time, minutes: int, room: int = 0) -> _Placement:
    starts_at = datetime.combine(starts_on + timedelta(days=day), begin)
    return _Placement(starts_at, starts_at + timedelta(minutes=minutes), room)


def _introduce(people: Sequence[SpeakerElement], talks: Sequence[SessionElement]) -> None:
    """Assign speakers to the talks in turn: mostly one, sometimes two or none."""
    turn = 0
    for index, talk in enumerate(talks):
        wanted = 0 if index % 12 == 7 else 2 if index % 5 == 1 else 1
        for offset in range(min(wanted, len(people))):
            person = people[(turn + offset) % len(people)]
            talk["speakers"].append(person["id"])
            person["sessions"].append(int(talk["id"]))
        turn += wanted


def _category(first_id: int, title: str, names: Sequence[str]) -> dict[str, object]:
    items = [{"id": first_id + n, "name": name, "sort": n} for n, name in enumerate(names, 1)]
    return {
        "id": first_id,
        "title": title,
        "items": items,
        "sort": first_id // 100,
        "type": "session",
    }


def _title(seed: str, index: int) -> str:
    """A unique title for every talk; some have emoji, CJK, zero width or padding characters."""
    combinations = len(SUBJECTS) * len(ANGLES)
    # A stride coprime to the number of combinations visits each once before it repeats one.
    mixed = (_number(seed, "titles") + 92 * index) % combinations
    title = f"{_pick(SUBJECTS, mixed)} {_pick(ANGLES, mixed // len(SUBJECTS))}"
    if index >= combinations:
        title += f" (part {index // combinations + 1})"
    if index % 9 == 3:
        title += " 👩\u200d💻🚀"
    if index % 13 == 4:
        title += " 実践入門"
    if index % 17 == 8:
        title = title.replace(" ", " \u200b", 1)
    return f"  {title} " if index % 10 == 6 else title


def _text(number: int) -> str:
    first, second = _pick(SENTENCES, number), _pick(SENTENCES, number // len(SENTENCES))
    return f"{first}\r\n\r\n{second}"


def _room_name(index: int, listed: int) -> str:
    if index == listed - 1:
        return "Green Room"
    return ROOMS[index] if index < len(ROOMS) else f"Room {index + 1}"


def _pick(words: Sequence[str], number: int) -> str:
    return words[number % len(words)]


def _ceiling(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _digest(seed: str, *what: str | int) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, (seed, *what))).encode()).digest()


def _number(seed: str, *what: str | int) -> int:
    return int.from_bytes(_digest(seed, *what)[:8], "big")


def _guid(seed: str, *what: str | int) -> str:
    return str(UUID(bytes=_digest(seed, *what)[:16], version=4))
