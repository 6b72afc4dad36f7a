"""The synthetic conference: the form of `view/All`, reproducible from its seed."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from cli.sandbox.conference import (
    TIME_ZONE,
    conference,
    conference_window,
    encode_conference,
)
from cli.sandbox.view_all import ScheduleDocument, SessionElement
from contracts.messages import Window

PINNED = "6b9c930b67dc5b07062566ddd25168b4128237f01cd9d52a119eabc0b6425172"


def talks_of(document: ScheduleDocument) -> list[SessionElement]:
    return [row for row in document["sessions"] if not row["isServiceSession"]]


def services_of(document: ScheduleDocument) -> list[SessionElement]:
    return [row for row in document["sessions"] if row["isServiceSession"]]


def day_of(row: SessionElement) -> date | None:
    return datetime.fromisoformat(row["startsAt"]).date() if row["startsAt"] else None


def test_the_document_has_the_five_keys_and_types_of_sessionize() -> None:
    document = json.loads(encode_conference(conference("demo2026")))

    assert list(document) == ["sessions", "speakers", "questions", "categories", "rooms"]
    for row in document["sessions"]:
        assert {key: type(value) for key, value in row.items() if value is not None}.items() <= {
            "id": str,
            "title": str,
            "description": str,
            "startsAt": str,
            "endsAt": str,
            "isServiceSession": bool,
            "isPlenumSession": bool,
            "speakers": list,
            "categoryItems": list,
            "questionAnswers": list,
            "roomId": int,
            "liveUrl": str,
            "recordingUrl": str,
            "status": str,
            "isInformed": bool,
            "isConfirmed": bool,
        }.items()
        assert len(row) == 16
    for row in document["speakers"]:
        assert {key: type(value) for key, value in row.items() if value is not None}.items() <= {
            "id": str,
            "firstName": str,
            "lastName": str,
            "fullName": str,
            "bio": str,
            "tagLine": str,
            "profilePicture": str,
            "isTopSpeaker": bool,
            "links": list,
            "sessions": list,
            "categoryItems": list,
            "questionAnswers": list,
        }.items()
        assert len(row) == 12
        assert all(set(link) == {"title", "url", "linkType"} for link in row["links"])
    for row in document["rooms"]:
        assert {key: type(value) for key, value in row.items()} == {
            "id": int,
            "name": str,
            "sort": int,
        }


def test_talks_have_ids_of_digits_and_services_guids() -> None:
    document = conference("demo2026")

    assert all(row["id"].isdecimal() for row in talks_of(document))
    assert all(str(UUID(row["id"])) == row["id"] for row in services_of(document))
    assert all(str(UUID(person["id"])) == person["id"] for person in document["speakers"])


def test_services_have_no_speakers_and_no_status() -> None:
    services = services_of(conference("demo2026"))

    assert all(not row["speakers"] and row["status"] is None for row in services)
    titles = " ".join(row["title"] for row in services)
    assert all(what in titles for what in ("Registration", "break", "Lunch", "keynote"))
    assert {row["title"] for row in services if row["isPlenumSession"]} == {
        "Opening keynote",
        "Closing keynote",
    }


@pytest.mark.parametrize(
    "awkward",
    [
        pytest.param(lambda row: len(row["speakers"]) == 2, id="two speakers"),
        pytest.param(lambda row: not row["speakers"], id="no speaker"),
        pytest.param(lambda row: "🚀" in row["title"], id="emoji"),
        pytest.param(lambda row: "実践" in row["title"], id="CJK"),
        pytest.param(lambda row: row["title"] != row["title"].strip(), id="padded title"),
        pytest.param(lambda row: "\u200b" in row["title"], id="zero width"),
        pytest.param(lambda row: "\r\n" in (row["description"] or ""), id="CRLF"),
        pytest.param(lambda row: row["description"] is None, id="no description"),
        pytest.param(lambda row: not row["isConfirmed"], id="not confirmed"),
        pytest.param(lambda row: row["liveUrl"] is not None, id="live URL"),
    ],
)
def test_the_window_holds_talks_as_awkward_as_real_ones(
    awkward: Callable[[SessionElement], bool],
) -> None:
    window = conference_window()
    inside = [
        row
        for row in talks_of(conference("demo2026"))
        if (day := day_of(row)) and window.starts_on <= day <= window.ends_on
    ]

    assert any(map(awkward, inside))
    assert not all(map(awkward, inside))


def test_speakers_are_as_uneven_as_real_ones() -> None:
    people = conference("demo2026")["speakers"]

    assert any(person["tagLine"] is None for person in people)
    assert any(person["bio"] is None for person in people)
    assert any(person["lastName"] == "" for person in people)
    assert any(not person["links"] for person in people)
    assert any(link["url"].startswith("HTTPS://") for p in people for link in p["links"])
    assert any(link["url"].endswith(" ") for p in people for link in p["links"])
    pictures = {person["profilePicture"] for person in people}
    assert None in pictures
    assert all(url.startswith("https://images.example/") for url in pictures if url)


@pytest.mark.parametrize("speakers", [None, 0, 1, 2, 500])
def test_sessions_and_speakers_refer_to_each_other(speakers: int | None) -> None:
    document = conference("demo2026", speakers=speakers)

    linked = {(row["id"], person) for row in document["sessions"] for person in row["speakers"]}
    back = {(str(talk), p["id"]) for p in document["speakers"] for talk in p["sessions"]}
    assert linked == back
    assert all(len(set(row["speakers"])) == len(row["speakers"]) for row in document["sessions"])
    if speakers is not None:
        assert len(document["speakers"]) == speakers


def test_a_room_is_listed_that_no_session_uses() -> None:
    document = conference("demo2026")

    used = {row["roomId"] for row in document["sessions"]} - {None}
    listed = {room["id"] for room in document["rooms"]}
    assert used < listed
    assert len(used) == 4


def test_the_window_leaves_out_the_day_before_the_day_after_and_unscheduled_talks() -> None:
    assert conference_window() == Window(
        starts_on=date(2026, 5, 28), ends_on=date(2026, 5, 29), time_zone="Europe/Vienna"
    )
    talks = talks_of(conference("demo2026"))

    days = [day_of(row) for row in talks]
    assert days.count(date(2026, 5, 27)) == 1
    assert days.count(date(2026, 5, 30)) == 1
    assert days.count(None) == 1
    assert days.count(date(2026, 5, 28)) + days.count(date(2026, 5, 29)) == len(talks) - 3
    (unscheduled,) = (row for row in talks if row["startsAt"] is None)
    assert (unscheduled["endsAt"], unscheduled["roomId"]) == (None, None)


@pytest.mark.parametrize("sessions", [0, 1, 2, 9, 10, 11, 12, 24, 49, 1000])
@pytest.mark.parametrize("days", [1, 2, 5])
@pytest.mark.parametrize("rooms", [1, 4, 20])
def test_a_conference_of_any_size_keeps_its_days_and_books_no_room_twice(
    sessions: int, days: int, rooms: int
) -> None:
    starts_on = date(2027, 1, 31)
    document = conference("x", days=days, rooms=rooms, sessions=sessions, starts_on=starts_on)

    assert len(talks_of(document)) == sessions
    window = conference_window(days=days, starts_on=starts_on)
    allowed = {starts_on + timedelta(days=day) for day in range(-1, days + 1)} | {None}
    assert {day_of(row) for row in document["sessions"]} <= allowed
    assert window.ends_on == starts_on + timedelta(days=days - 1)
    assert not overlaps(document)
    assert {row["roomId"] for row in document["sessions"]} <= {
        None,
        *(room["id"] for room in document["rooms"]),
    }
    assert len({row["id"] for row in document["sessions"]}) == len(document["sessions"])


def overlaps(document: ScheduleDocument) -> list[tuple[str, str]]:
    booked: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
    for row in document["sessions"]:
        if row["roomId"] is not None and row["startsAt"] and row["endsAt"]:
            booked[row["roomId"]].append((row["startsAt"], row["endsAt"], row["id"]))
            assert row["startsAt"] < row["endsAt"]
    return [
        (earlier[2], later[2])
        for bookings in booked.values()
        for earlier, later in pairwise(sorted(bookings))
        if later[0] < earlier[1]
    ]


def test_the_check_for_overlaps_can_fail() -> None:
    document = conference("demo2026")
    first, second = services_of(document)[:2]
    second["startsAt"], second["endsAt"] = first["startsAt"], first["endsAt"]

    assert overlaps(document)


def test_a_hundred_thousand_talks_have_unique_ids_and_titles() -> None:
    document = conference("big", sessions=100_000)

    ids = {row["id"] for row in document["sessions"]}
    assert len(ids) == len(document["sessions"]) > 100_000
    assert len({row["title"] for row in talks_of(document)}) == 100_000
    assert len({person["id"] for person in document["speakers"]}) == len(document["speakers"])
    assert not overlaps(document)


def test_no_talks_means_no_sessions_at_all() -> None:
    assert conference("demo2026", sessions=0)["sessions"] == []


def test_the_same_arguments_give_the_same_bytes_everywhere() -> None:
    body = encode_conference(conference("pinned01", days=1, rooms=2, sessions=12))

    assert hashlib.sha256(body).hexdigest() == PINNED


def test_another_seed_is_another_conference() -> None:
    one, other = conference("demo2026"), conference("demo2027")

    assert not {row["id"] for row in one["sessions"]} & {row["id"] for row in other["sessions"]}
    assert not {row["id"] for row in one["speakers"]} & {row["id"] for row in other["speakers"]}


def test_a_conference_that_grows_keeps_its_talks_and_people() -> None:
    small, large = conference("demo2026", sessions=12), conference("demo2026", sessions=36)

    texts = {row["id"]: (row["title"], row["description"]) for row in talks_of(large)}
    assert all(texts[row["id"]] == (row["title"], row["description"]) for row in talks_of(small))
    assert {p["id"] for p in small["speakers"]} < {p["id"] for p in large["speakers"]}


def test_an_unannounced_conference_is_the_same_without_times_rooms_and_services() -> None:
    announced, hidden = conference("demo2026"), conference("demo2026", announced=False)

    assert hidden["rooms"] == []
    assert hidden["speakers"] == announced["speakers"]
    bare = [
        {**row, "startsAt": None, "endsAt": None, "roomId": None} for row in talks_of(announced)
    ]
    assert sorted(map(str, hidden["sessions"])) == sorted(map(str, bare))


def test_the_utc_option_writes_the_same_instants_with_a_z() -> None:
    wall, utc = conference("demo2026"), conference("demo2026", utc=True)

    zone = ZoneInfo(TIME_ZONE)
    for there, here in zip(wall["sessions"], utc["sessions"], strict=True):
        assert there["id"] == here["id"]
        if there["startsAt"] and here["startsAt"]:
            assert here["startsAt"].endswith("Z")
            instant = datetime.fromisoformat(there["startsAt"]).replace(tzinfo=zone)
            assert datetime.fromisoformat(here["startsAt"]) == instant.astimezone(UTC)


@pytest.mark.parametrize(
    ("days", "rooms", "sessions", "speakers"),
    [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1)],
)
def test_impossible_numbers_are_refused(
    days: int, rooms: int, sessions: int, speakers: int
) -> None:
    with pytest.raises(ValueError, match="at least one day"):
        conference("demo2026", days=days, rooms=rooms, sessions=sessions, speakers=speakers)
