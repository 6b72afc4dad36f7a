"""Normalising a document: the text rule, the time rule and the ids."""

from datetime import UTC, datetime

import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import Room, Speaker
from tests.support.documents import days, document, room, speaker, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, schedule_of
from worker.rules.schedule import PlannedSession, Schedule
from worker.rules.text import MAX_FIELD_BYTES

UNTIDY, TIDY = " \ufeffa\u200bb\r\nZu\u0308rich\x00 ", "ab\nZ\u00fcrich"
TOO_LONG = "x" * (MAX_FIELD_BYTES + 1)
SESSION_TEXTS = {
    "title": "title",
    "description": "abstract",
    "liveUrl": "live_url",
    "recordingUrl": "recording_url",
    "status": "status",
}
SPEAKER_TEXTS = {
    "firstName": "first_name",
    "lastName": "last_name",
    "fullName": "full_name",
    "tagLine": "tag_line",
    "bio": "bio",
    "profilePicture": "profile_picture",
}


def session_of(row: JsonObject) -> PlannedSession:
    (session,) = schedule_of(document(row)).sessions.values()
    return session


def speaker_of(row: JsonObject) -> Speaker:
    (found,) = schedule_of(document(talk("1"), speakers=[row])).speakers.values()
    return found


def room_of(row: JsonObject) -> Room:
    (found,) = schedule_of(document(talk("1"), rooms=[row])).rooms.values()
    return found


def codes(schedule: Schedule) -> list[tuple[str, tuple[str, ...]]]:
    return [(warning.code, warning.sessionize_ids) for warning in schedule.warnings]


@pytest.mark.parametrize(("key", "field"), SESSION_TEXTS.items())
def test_the_texts_of_a_session_follow_the_rule(key: str, field: str) -> None:
    assert getattr(session_of(talk("1") | {key: UNTIDY}), field) == TIDY


@pytest.mark.parametrize(("key", "field"), SPEAKER_TEXTS.items())
def test_the_texts_of_a_speaker_follow_the_rule(key: str, field: str) -> None:
    assert getattr(speaker_of(speaker("ada") | {key: UNTIDY}), field) == TIDY


@pytest.mark.parametrize("key", ["title", "url", "linkType"])
def test_the_texts_of_a_link_follow_the_rule(key: str) -> None:
    (link,) = speaker_of(speaker("ada", links=[{key: UNTIDY}])).links or ()

    assert {link.title, link.url, link.link_type} == {TIDY, ""}


def test_a_line_break_is_a_newline_in_long_texts_and_a_space_in_titles_and_names() -> None:
    broken = "a\u2028b"
    session = session_of(talk("1", title=broken, description=broken))
    ada = speaker_of(speaker("ada", firstName=broken, bio=broken, links=[{"title": broken}]))

    assert (session.abstract, ada.bio) == ("a\nb", "a\nb")
    assert (session.title, ada.first_name, room_of(room(7, name=broken)).name) == ("a b",) * 3
    assert [link.title for link in ada.links or ()] == ["a b"]


def test_the_name_of_a_room_follows_the_rule() -> None:
    assert room_of(room(7, name=UNTIDY)).name == TIDY


def test_null_and_missing_fields_become_empty() -> None:
    bare = room_of({"id": 7})
    ada = speaker_of({"id": "ada", "links": None, "firstName": None})
    session = session_of(talk("1", isServiceSession=None, isPlenumSession=None, description=None))

    assert (bare.name, bare.sort) == ("Room 7", 0)
    assert (ada.first_name, ada.full_name, ada.links, ada.is_top_speaker) == ("", "", (), False)
    assert (ada.bio, ada.tag_line, ada.profile_picture) == (None, None, None)
    assert not session.is_service_session
    assert not session.is_plenum_session
    assert session.abstract is None
    assert session_of(talk("1", title=" \u200b")).title == ""


@pytest.mark.parametrize("key", SESSION_TEXTS)
def test_a_text_of_a_session_over_64_kib_cannot_be_read(key: str) -> None:
    schedule = schedule_of(document(talk("1") | {key: TOO_LONG}, talk("2")))

    assert schedule.invalid_sessions == ({"1"} if key == "title" else frozenset())
    assert schedule.invalid_fields == ({"1": ("title",)} if key == "title" else {})
    assert schedule.unreadable_fields("session", "1") == (
        () if key == "title" else (SESSION_TEXTS[key],)
    )
    assert codes(schedule) == [("invalid_session", ("1",))]


@pytest.mark.parametrize("key", SPEAKER_TEXTS)
def test_a_text_of_a_speaker_over_64_kib_cannot_be_read(key: str) -> None:
    schedule = schedule_of(document(talk("1"), speakers=[speaker("ada") | {key: TOO_LONG}]))

    assert schedule.unreadable_fields("speaker", "ada") == (SPEAKER_TEXTS[key],)
    assert codes(schedule) == [("invalid_speaker", ("ada",))]


def test_a_name_of_a_room_over_64_kib_cannot_be_read() -> None:
    schedule = schedule_of(document(talk("1"), rooms=[room(7, name=TOO_LONG)]))

    assert schedule.unreadable_fields("room", "7") == ("name",)
    assert codes(schedule) == [("invalid_room", ("7",))]


def test_wall_times_are_those_of_the_window() -> None:
    source = document(talk("1", "2026-05-28T09:00:00", "2026-05-28T08:00:00Z"))
    session = schedule_of(source, days(28, 29, "America/New_York")).sessions["1"]

    assert session.starts_at == datetime(2026, 5, 28, 13, tzinfo=UTC)
    assert session.ends_at == datetime(2026, 5, 28, 8, tzinfo=UTC)


@pytest.mark.parametrize("key", ["startsAt", "endsAt"])
@pytest.mark.parametrize("value", ["", "soon", "2026-05-28", "0001-01-01T00:00:00"])
def test_a_session_with_an_unparsable_time_is_invalid(key: str, value: str) -> None:
    schedule = schedule_of(document(talk("1") | {key: value}))

    assert schedule.invalid_sessions == {"1"}
    assert value in schedule.warnings[0].message


def test_a_session_without_times_and_room_is_valid() -> None:
    session = session_of(unscheduled("1"))

    assert (session.starts_at, session.ends_at, session.room) == (None, None, None)


def test_ids_are_trimmed_text() -> None:
    schedule = schedule_of(
        document(talk(" 1 ", room="7 ", speakers=[5, " 5"]), rooms=[room(7)], speakers=[speaker(5)])
    )

    assert schedule.sessions["1"].room == "7"
    assert schedule.sessions["1"].speakers == ("5",)
    assert list(schedule.rooms) == ["7"]
    assert list(schedule.speakers) == ["5"]


def test_rooms_belong_to_the_event_and_speakers_to_the_organization() -> None:
    assert room_of(room(7)).room_id == identity.room_id(EVENT, "7")
    assert speaker_of(speaker("ada")).speaker_id == identity.speaker_id(ORGANIZATION, "ada")


def test_every_element_is_listed_readable_or_not() -> None:
    rows = [talk("1"), talk("1"), talk("2", title=None), None]

    assert schedule_of(document() | {"sessions": rows}).listed == 4


def test_the_first_readable_element_of_an_id_counts() -> None:
    schedule = schedule_of(
        document(
            talk("1"),
            talk("1", title="Copy"),
            talk("2", title=None),
            talk("2", title="Readable"),
            talk("3", startsAt="soon"),
            talk("3", title=None),
        )
    )

    assert [s.title for s in schedule.sessions.values()] == ["Talk 1", "Readable"]
    assert schedule.invalid_sessions == {"3"}
    assert schedule.invalid_fields == {"3": ("starts_at",)}
    assert codes(schedule) == [
        ("duplicate_session", ("1",)),
        ("invalid_session", ("2",)),
        ("duplicate_session", ("2",)),
        ("invalid_session", ("3",)),
        ("duplicate_session", ("3",)),
        ("invalid_session", ("3",)),
    ]


def test_only_repeated_and_unreadable_elements_have_readings() -> None:
    source = document(talk("1"), talk("2"), talk("2"), talk("2"), talk("3", description=7))
    schedule = schedule_of(source)

    assert {key: len(found) for key, found in schedule.session_readings.items()} == {"2": 3, "3": 1}
    assert codes(schedule) == [("duplicate_session", ("2",)), ("invalid_session", ("3",))]


def test_a_broken_duplicate_does_not_invalidate_the_first_element() -> None:
    schedule = schedule_of(document(talk("1"), talk("1", title=None)))

    assert list(schedule.sessions) == ["1"]
    assert schedule.invalid_sessions == frozenset()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(document(talk("1\x00")), id="session"),
        pytest.param(document(talk("1", speakers=["a\x00"])), id="speaker"),
        pytest.param(document(talk("1", room="7\x00")), id="room"),
    ],
)
def test_no_id_holds_a_nul(source: JsonObject) -> None:
    schedule = schedule_of(source)

    assert "\x00" not in "".join(
        (*schedule.sessions, *schedule.speakers, *schedule.rooms, *schedule.invalid_sessions)
    )


@pytest.mark.parametrize("sort", [2**53, -(2**53), 2**63, 10**30])
def test_a_room_with_a_sort_out_of_range_is_invalid(sort: int) -> None:
    schedule = schedule_of(document(talk("1"), rooms=[room(7, sort=sort)]))

    assert all(abs(found.sort) < 2**53 for found in schedule.rooms.values())


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(document(talk("1"), talk(TOO_LONG)), id="session"),
        pytest.param(document(talk("1"), talk(TOO_LONG) | {"title": None}), id="broken session"),
        pytest.param(document(talk("1"), speakers=[speaker(TOO_LONG)]), id="speaker"),
        pytest.param(document(talk("1"), rooms=[room(TOO_LONG)]), id="room"),
    ],
)
def test_an_element_with_an_id_over_64_kib_is_invalid_and_others_are_not(
    source: JsonObject,
) -> None:
    schedule = schedule_of(source)

    assert list(schedule.sessions) == ["1"]
    assert [warning.code.split("_")[0] for warning in schedule.warnings] == ["invalid"]
    assert len(schedule.warnings[0].message) < 1000
