"""Small documents and requests that earlier versions imported wrongly; each is a kind of fault."""

import json
from pathlib import Path

from contracts.events import RoomImported, SessionImported, SessionSkippedUnscheduled
from contracts.messages import decode_request
from tests.support.documents import days
from tests.support.given import given
from worker.rules.text import clean_title

_FAULTS = Path(__file__).parents[1] / "fixtures" / "faults"


def read(name: str) -> bytes:
    return (_FAULTS / f"{name}.json").read_bytes()


def test_a_request_whose_name_is_cut_in_an_emoji_is_read_without_the_half() -> None:
    request = decode_request(read("f1-request-half-a-pair"))

    assert clean_title(request.requested_by or "") == "Ada Example"
    assert request.sessionize_api_id == "demo2026"


def test_an_unreadable_skip_that_lies_inside_the_new_dates_names_its_unreadable_field() -> None:
    outcome = given(read("f3-1-skipped")).when(read("f3-2-unreadable"), days(28, 31))

    assert outcome.changes == ["SessionSkippedUnscheduled 2: title"]
    skip = outcome.the(SessionSkippedUnscheduled)
    assert (skip.title, skip.was_imported) == ("Workshop", False)


def test_sessions_stay_when_the_name_of_their_new_room_ends_in_half_an_emoji() -> None:
    outcome = given(read("f4-1-before")).when(read("f4-2-room-name-half-a-pair"))

    names = {room["name"] for room in json.loads(read("f4-2-room-name-half-a-pair"))["rooms"]}
    room = outcome.the(RoomImported)
    assert room.name not in names
    assert any(name.startswith(room.name) for name in names)
    assert outcome.completed.counts.sessions.skipped == 0
    assert len(outcome.all(SessionImported)) + outcome.completed.counts.sessions.unchanged == 10
    assert outcome.warnings == []


def test_one_id_twice_is_unchanged_in_any_order() -> None:
    a, b = read("u1-one-id-twice-a"), read("u1-one-id-twice-b")
    history = given(a)

    for source in (b, a, b):
        outcome = history.when(source)
        assert outcome.changes == []
        assert outcome.warnings == ["duplicate_session 79"]
        history = history.after(source)


def test_guids_in_another_case_change_nothing() -> None:
    a, b = read("u2-guid-case-a"), read("u2-guid-case-b")

    assert given(a).when(b).changes == []
    assert given(b).when(a).changes == []
    assert {s.sessionize_id for s in given().when(b).all(SessionImported)} == {
        "1",
        "aaaaaaaa-0000-4000-8000-00000000bbbb",
    }


def test_line_breaks_do_not_glue_words_together() -> None:
    sessions = given().when(read("u3-line-breaks")).all(SessionImported)

    assert {session.title for session in sessions} == {"Title Subtitle"}
    assert {session.abstract for session in sessions} == {"One.\nTwo."}


def test_sessions_that_are_not_accepted_are_imported_and_named() -> None:
    outcome = given().when(read("u4-status"))
    rows = json.loads(read("u4-status"))["sessions"]
    others = [row["id"] for row in rows if row["status"] not in (None, "Accepted")]

    assert len(outcome.all(SessionImported)) == len(rows)
    assert outcome.warnings == [f"session_not_accepted {key}" for key in others]
    assert others
