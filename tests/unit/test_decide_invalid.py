"""Unreadable elements: one bad session neither fails the run nor goes unnoticed."""

import pytest

from contracts.codec import JsonObject
from contracts.events import (
    RoomImported,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SpeakerImported,
)
from tests.support.documents import BROKEN, days, document, room, speaker, talk, unscheduled
from tests.support.given import RequestOptions, given
from worker.rules.text import MAX_FIELD_BYTES

STAYS = talk("1")
SECOND = talk("2", "2026-05-29T10:00:00", room=8, speakers=["eve"])
BOTH = document(STAYS, SECOND)
TOO_LONG = "x" * (MAX_FIELD_BYTES + 1)


@pytest.mark.parametrize(
    "defect",
    [
        {"title": None},
        {"title": TOO_LONG},
        {"startsAt": "2026-05-28"},
        {"startsAt": "tomorrow"},
        {"endsAt": "2026-13-01T10:00:00"},
        {"speakers": [None]},
        {"roomId": 1.5},
    ],
    ids=lambda defect: "-".join(map(str, defect)),
)
def test_an_unreadable_imported_session_keeps_its_last_version(
    defect: JsonObject,
) -> None:
    outcome = given(BOTH).when(BOTH | {"sessions": [STAYS, SECOND | defect]})

    assert outcome.changes == []
    assert outcome.warnings == ["invalid_session 2"]
    assert outcome.completed.counts.sessions.unchanged == 2


def test_an_unreadable_session_keeps_its_room_and_speakers_even_if_they_are_unlisted() -> None:
    rest = document(STAYS, SECOND | BROKEN, rooms=[room(7)], speakers=[speaker("ada")])

    assert given(BOTH).when(rest).changes == []


def test_an_unreadable_session_outside_the_window_is_skipped_as_it_was_last() -> None:
    outcome = given(BOTH).when(document(STAYS, SECOND | BROKEN), days(28, 28))

    assert outcome.changes[0] == "SessionSkippedOutOfWindow 2 after_window, was imported"
    assert outcome.warnings == ["window_changed 2", "invalid_session 2"]


def test_a_session_readable_again_is_unchanged_or_updated_but_not_restored() -> None:
    past = given(BOTH, document(STAYS, SECOND | BROKEN))

    assert past.when(BOTH).changes == []
    assert past.when(document(STAYS, SECOND | {"title": "New"})).changes == [
        "SessionImported 2 updated: title"
    ]


def test_force_repeats_the_last_version_of_an_unreadable_session() -> None:
    outcome = given(BOTH).when(document(STAYS, SECOND | BROKEN), options=RequestOptions(force=True))

    assert [s.title for s in outcome.all(SessionImported)] == ["Talk 1", "Talk 2"]


def test_an_unreadable_new_session_is_only_a_warning() -> None:
    outcome = given(document(STAYS)).when(document(STAYS, SECOND | BROKEN))

    assert outcome.changes == []
    assert outcome.warnings == ["invalid_session 2"]


def test_an_unreadable_skipped_session_stays_skipped() -> None:
    past = given(document(STAYS, unscheduled("2")))
    outcome = past.when(document(STAYS, unscheduled("2") | BROKEN))

    assert outcome.changes == []
    assert outcome.completed.counts.sessions.skipped == 1


def test_an_element_without_a_readable_id_is_a_warning() -> None:
    source = document(STAYS) | {"sessions": [STAYS, None, {"title": "Who?"}, {"id": 1.5}]}

    assert given(document(STAYS)).when(source).warnings == ["invalid_session"] * 3


@pytest.mark.parametrize(
    ("unreadable", "warning"),
    [
        ({"speakers": [speaker("ada", bio=TOO_LONG)]}, "invalid_speaker ada"),
        ({"speakers": [speaker("ada", links="none")]}, "invalid_speaker ada"),
        ({"rooms": [room(7, name=TOO_LONG)]}, "invalid_room 7"),
        ({"rooms": [room(7, sort="first")]}, "invalid_room 7"),
    ],
    ids=["text", "links", "name", "sort"],
)
def test_an_unreadable_imported_speaker_or_room_keeps_its_last_version(
    unreadable: JsonObject, warning: str
) -> None:
    outcome = given(document(STAYS)).when(document(STAYS) | unreadable)

    assert outcome.changes == []
    assert outcome.warnings == [warning]


def test_an_unreadable_text_of_a_new_speaker_is_null() -> None:
    outcome = given().when(document(STAYS, speakers=[speaker("ada", bio=TOO_LONG, tagLine=7)]))

    ada = outcome.the(SpeakerImported)
    assert (ada.bio, ada.tag_line, ada.full_name) == (None, None, "Ada Example")
    assert outcome.warnings == ["invalid_speaker ada"]
    assert "bio" in outcome.completed.warnings[0].message


def test_a_new_speaker_without_any_readable_text_does_not_look_erased() -> None:
    lost = dict.fromkeys(("firstName", "lastName", "fullName", "bio", "tagLine", "links"), 7)
    outcome = given().when(
        document(STAYS, speakers=[speaker("ada") | lost | {"profilePicture": 7}])
    )

    assert outcome.the(SpeakerImported).full_name is None
    assert outcome.the(SpeakerImported).links == ()


@pytest.mark.parametrize("name", [TOO_LONG, None, 7, "", " \u200b"])
def test_a_new_room_without_a_readable_name_is_named_after_its_id(name: object) -> None:
    outcome = given().when(document(STAYS, rooms=[room(7, name=name)]))

    assert outcome.the(RoomImported).name == "Room 7"
    assert "SessionImported 1 added" in outcome.changes
    assert outcome.warnings == ["invalid_room 7"]


@pytest.mark.parametrize(("sort", "shown"), [(1.0, 1), ("first", 0), (1.5, 0), (2**31, 0)])
def test_a_sort_is_a_whole_number_or_0(sort: object, shown: int) -> None:
    outcome = given().when(document(STAYS, rooms=[room(7, sort=sort)]))

    assert outcome.the(RoomImported).sort == shown
    assert outcome.warnings == ([] if shown else ["invalid_room 7"])


@pytest.mark.parametrize(
    ("defect", "field"),
    [
        ({"description": TOO_LONG}, "abstract"),
        ({"isServiceSession": "yes"}, "is_service_session"),
        ({"liveUrl": 7}, "live_url"),
    ],
    ids=["abstract", "flag", "link"],
)
def test_another_unreadable_field_of_a_session_keeps_its_last_value(
    defect: JsonObject, field: str
) -> None:
    before = SECOND | {"liveUrl": "https://live.example", "isServiceSession": True}
    after = before | {"title": "New"} | defect
    outcome = given(document(STAYS, before)).when(document(STAYS, after))

    assert outcome.changes == ["SessionImported 2 updated: title"]
    assert outcome.warnings == ["invalid_session 2"]
    assert field in outcome.completed.warnings[0].message


def test_an_unreadable_field_of_a_restored_element_keeps_its_last_value() -> None:
    named = BOTH | {"rooms": [room(7), room(8, name="Hall")]}
    back = document(
        STAYS,
        SECOND | {"description": 7},
        rooms=[room(7), room(8, name=7)],
        speakers=[speaker("ada"), speaker("eve", tagLine=7)],
    )

    assert given(named, document(STAYS)).when(back).changes == [
        "RoomImported 8 restored",
        "SpeakerImported eve restored",
        "SessionImported 2 restored",
    ]


def test_another_unreadable_field_of_a_new_session_is_null() -> None:
    outcome = given().when(document(STAYS | {"description": 7, "isPlenumSession": 7}))

    session = outcome.the(SessionImported)
    assert (session.abstract, session.is_plenum_session) == (None, False)


def test_a_skip_that_cannot_be_read_is_renewed_with_the_bounds_of_today() -> None:
    late = talk("2", "2026-05-31T09:00:00")
    outcome = given(document(STAYS, late)).when(document(STAYS, late | BROKEN), days(27, 30))

    assert outcome.changes == ["SessionSkippedOutOfWindow 2 after_window"]
    assert outcome.the(SessionSkippedOutOfWindow).window_ends_at.day == 30
    assert outcome.the(SessionSkippedOutOfWindow).was_imported is False


def test_a_skip_that_cannot_be_read_is_restored_if_it_was_imported_with_the_same_start() -> None:
    past = given(BOTH).after(BOTH, days(28, 28))
    broken = document(STAYS, SECOND | BROKEN, rooms=[room(7)], speakers=[speaker("ada")])

    assert past.when(broken).changes == [
        "RoomImported 8 restored",
        "SpeakerImported eve restored",
        "SessionImported 2 restored",
    ]


def test_a_skip_that_cannot_be_read_and_never_had_its_place_is_unscheduled() -> None:
    late = talk("2", "2026-05-31T09:00:00")
    past = given(document(STAYS, late))
    outcome = past.when(document(STAYS, late | BROKEN), days(28, 31))

    assert outcome.changes == ["SessionSkippedUnscheduled 2: title"]
    assert outcome.the(SessionSkippedUnscheduled).was_imported is False


def test_an_unknown_room_makes_its_session_unscheduled() -> None:
    outcome = given(BOTH).when(document(STAYS, SECOND, rooms=[room(7)]))

    assert outcome.changes == [
        "SessionSkippedUnscheduled 2: room, was imported",
        "SpeakerWithdrawn eve unreferenced, was imported",
        "RoomWithdrawn 8 missing_from_source, was imported",
    ]
    assert outcome.warnings == ["unknown_room 2"]


def test_an_unknown_speaker_is_left_out_of_the_session() -> None:
    with_nobody = document(talk("1", speakers=["nobody", "ada"]), speakers=[speaker("ada")])
    outcome = given().when(with_nobody)

    assert outcome.warnings == ["unknown_speaker 1"]
    assert "nobody" in outcome.completed.warnings[0].message
    assert given(with_nobody).when(document(STAYS)).changes == []


def test_the_first_of_two_sessions_with_one_id_counts() -> None:
    outcome = given().when(document(STAYS, STAYS | {"title": "Second", "startsAt": None}))

    assert outcome.the(SessionImported).title == "Talk 1"
    assert outcome.warnings == ["duplicate_session 1"]


def test_the_first_readable_session_of_an_id_counts() -> None:
    outcome = given(BOTH).when(document(STAYS, SECOND | BROKEN, SECOND | {"title": "Copy"}))

    assert outcome.changes == ["SessionImported 2 updated: title"]
    assert outcome.warnings == ["invalid_session 2", "duplicate_session 2"]


def test_of_two_sessions_the_imported_one_counts_in_any_order() -> None:
    copy = SECOND | {"title": "Copy"}

    assert given(BOTH).when(document(STAYS, copy, SECOND)).changes == []


def test_the_first_session_of_an_id_that_can_be_scheduled_counts() -> None:
    outcome = given().when(document(unscheduled("1", title="Not yet"), STAYS))

    assert outcome.the(SessionImported).title == "Talk 1"


def test_of_two_rooms_or_speakers_the_imported_one_counts_in_any_order() -> None:
    source = document(
        STAYS,
        rooms=[room(7, name="Copy"), room(7)],
        speakers=[speaker("ada", bio="Copy"), speaker("ada")],
    )

    assert given(document(STAYS)).when(source).changes == []


def test_an_unreadable_second_session_of_an_id_changes_nothing() -> None:
    outcome = given(BOTH).when(document(STAYS, SECOND, SECOND | BROKEN))

    assert outcome.changes == []
    assert outcome.warnings == ["duplicate_session 2", "invalid_session 2"]


def test_the_first_of_two_rooms_or_speakers_with_one_id_counts() -> None:
    source = document(
        STAYS,
        rooms=[room(7), room("7", name="Copy")],
        speakers=[speaker("ada"), speaker("ada", bio="Copy")],
    )
    outcome = given(document(STAYS)).when(source)

    assert outcome.changes == []
    assert outcome.warnings == ["duplicate_speaker ada", "duplicate_room 7"]


def test_a_session_that_ends_before_it_starts_is_imported_with_a_warning() -> None:
    outcome = given().when(document(talk("1", "2026-05-28T10:00:00", "2026-05-28T09:00:00")))

    assert "SessionImported 1 added" in outcome.changes
    assert outcome.warnings == ["session_ends_before_it_starts 1"]


def test_a_session_of_zero_length_is_imported_without_a_warning() -> None:
    moment = "2026-05-28T10:00:00"

    assert given().when(document(talk("1", moment, moment))).warnings == []


def test_ids_larger_than_32_and_64_bits_are_text() -> None:
    ids = (2**31, 2**53 + 1, 2**64 + 1)
    outcome = given().when(
        document(*(talk(i, f"2026-05-28T{9 + n:02}:00:00", room=i) for n, i in enumerate(ids)))
    )

    assert [s.sessionize_id for s in outcome.all(SessionImported)] == [str(i) for i in ids]
    assert outcome.warnings == []
