"""Limits of the import, and the warnings about elements that exceed them."""

from typing import Any

import pytest

from contracts import identity
from contracts.events import SessionSkippedUnscheduled
from tests.support.documents import document, room, speaker, talk
from tests.support.given import EVENT, given, schedule_of
from worker.rules.ids import MAX_ID_BYTES
from worker.rules.normalise import MAX_LINKS, MAX_SORT, MAX_SPEAKERS
from worker.rules.text import MAX_FIELD_BYTES

LINK = {"title": "", "url": "u", "linkType": ""}


@pytest.mark.parametrize(("more", "invalid"), [(0, frozenset()), (1, {"1"})])
def test_the_number_of_speakers_of_a_session_is_limited(more: int, invalid: set[str]) -> None:
    crowd = [f"s{number}" for number in range(MAX_SPEAKERS + more)]
    schedule = schedule_of(document(talk("1", speakers=crowd), talk("2")))
    assert schedule.invalid_sessions == invalid
    if more:
        assert "speakers (it has 1001 speakers, more than 1000)." in schedule.warnings[0].message


@pytest.mark.parametrize(("more", "invalid"), [(0, frozenset()), (1, {"ada"})])
def test_the_number_of_links_of_a_speaker_is_limited(more: int, invalid: set[str]) -> None:
    links = [LINK] * (MAX_LINKS + more)
    schedule = schedule_of(document(talk("1"), speakers=[speaker("ada", links=links)]))
    assert schedule.unreadable_fields("speaker", "ada") == (("links",) if invalid else ())
    if more:
        assert "(its 1001 links hold 1001 bytes, more than a field may)." in (
            schedule.warnings[0].message
        )


@pytest.mark.parametrize(("more", "invalid"), [(0, frozenset()), (1, {"ada"})])
def test_the_links_of_a_speaker_share_the_limit_of_one_field(more: int, invalid: set[str]) -> None:
    half = {"title": "", "url": "u" * (MAX_FIELD_BYTES // 2), "linkType": ""}
    links = [half, half | {"url": half["url"] + "u" * more}]
    schedule = schedule_of(document(talk("1"), speakers=[speaker("ada", links=links)]))
    assert schedule.unreadable_fields("speaker", "ada") == (("links",) if invalid else ())


@pytest.mark.parametrize(
    ("sort", "invalid"), [(MAX_SORT, frozenset()), (-MAX_SORT, frozenset()), (MAX_SORT + 1, {"7"})]
)
def test_the_sort_of_a_room_is_bounded(sort: int, invalid: set[str]) -> None:
    schedule = schedule_of(document(talk("1"), rooms=[room(7, sort=sort)]))
    assert schedule.unreadable_fields("room", "7") == (("sort",) if invalid else ())
    if invalid:
        assert "sort (2147483648 is beyond 2147483647)." in schedule.warnings[0].message


def test_of_a_huge_sort_a_warning_quotes_40_digits() -> None:
    (warning,) = schedule_of(document(talk("1"), rooms=[room(7, sort=10**45)])).warnings
    assert f"sort (1{'0' * 39} is beyond 2147483647)." in warning.message


def test_an_element_without_a_usable_id_is_reported_and_the_next_one_read() -> None:
    schedule = schedule_of(document(talk(""), talk("2")))
    assert list(schedule.sessions) == ["2"]
    (warning,) = schedule.warnings
    assert (warning.code, warning.sessionize_ids) == ("invalid_session", ())
    assert "session without a readable id" in warning.message
    assert "empty or too long" in warning.message


LONGEST = "é" * (MAX_ID_BYTES // 2)


@pytest.mark.parametrize(("more", "read"), [("", 1), ("x", 0)])
def test_the_length_of_an_id_is_limited(more: str, read: int) -> None:
    """An id is a key in the read models; one longer than an index allows would stop its stream."""
    own = LONGEST + more
    schedule = schedule_of(
        document(talk(own, room=own), rooms=[room(own)], speakers=[speaker("ada"), speaker(own)])
    )
    assert len(schedule.sessions) == len(schedule.rooms) == read
    assert len(schedule.speakers) == 1 + read
    assert len(schedule.warnings) == (0 if read else 3)
    assert all(len(warning.message) < 200 for warning in schedule.warnings)


@pytest.mark.parametrize("named", [{"room": LONGEST + "x"}, {"speakers": [LONGEST + "x"]}])
def test_a_session_that_refers_to_an_overlong_id_is_invalid(named: dict[str, Any]) -> None:
    schedule = schedule_of(document(talk("1", **named), rooms=[room(7)], speakers=[speaker("ada")]))
    assert schedule.invalid_sessions == {"1"}
    assert "longer than 1000 bytes" in schedule.warnings[0].message


def test_a_warning_names_the_element_and_the_problem() -> None:
    (warning,) = schedule_of(document(talk("1") | {"title": 7}, talk("2"))).warnings
    assert "session 1" in warning.message
    assert "title (Expected `str | null`, got `int`)" in warning.message


@pytest.mark.parametrize("name", ["firstName", "lastName", "fullName"])
def test_a_name_that_is_null_is_empty(name: str) -> None:
    schedule = schedule_of(document(talk("1"), speakers=[speaker("ada") | {name: None}]))
    found = schedule.speakers["ada"]
    shown = {
        "firstName": found.first_name,
        "lastName": found.last_name,
        "fullName": found.full_name,
    }
    assert shown[name] == ""


def test_a_session_without_a_room_is_skipped_with_its_times() -> None:
    outcome = given().when(document(talk("1"), talk("2", room=None)))
    skip = outcome.the(SessionSkippedUnscheduled)
    timed = schedule_of(document(talk("2"))).sessions["2"]
    assert (skip.starts_at, skip.ends_at) == (timed.starts_at, timed.ends_at)
    assert skip.session_id == identity.session_id(EVENT, "2")
    assert skip.missing == ("room",)
