"""Warnings about a schedule: which talks overlap, and how many warnings a run reports."""

import pytest

from contracts.events import SyncWarning
from tests.support.documents import document, room, talk
from tests.support.given import given
from worker.rules.bytes_of_json import json_bytes
from worker.rules.warnings import MOST_OF_A_CODE, capped, double_bookings, short


def warning(code: str, number: int) -> SyncWarning:
    return SyncWarning(code=code, message=f"{code} {number}.", sessionize_ids=(str(number),))


@pytest.mark.parametrize("number", [0, 1, MOST_OF_A_CODE])
def test_few_warnings_are_reported_one_by_one(number: int) -> None:
    few = [warning("a", n) for n in range(number)]

    assert capped(few) == tuple(few)


def test_of_many_warnings_the_first_are_reported_and_the_others_counted() -> None:
    many = [warning("a", n) for n in range(MOST_OF_A_CODE + 7)]
    reported = capped(many)

    assert reported[:-1] == tuple(many[:MOST_OF_A_CODE])
    assert reported[-1].code == "a"
    assert reported[-1].message == "… and 7 more like this."


@pytest.mark.parametrize(
    ("title", "shown"),
    [("Talk", "Talk"), ("t" * 120, "t" * 120), ("t" * 121, "t" * 120 + "…")],
    ids=len,
)
def test_a_title_of_more_than_120_characters_is_shortened(title: str, shown: str) -> None:
    assert short(title) == shown


@pytest.mark.parametrize(("less", "kept"), [(0, 3), (1, 2)])
def test_warnings_are_reported_one_by_one_as_far_as_they_fit(
    monkeypatch: pytest.MonkeyPatch, less: int, kept: int
) -> None:
    few = [warning("a", n) for n in range(3)]
    monkeypatch.setattr("worker.rules.warnings.MOST_BYTES", sum(map(json_bytes, few)) - less)

    rest = [SyncWarning(code="a", message="… and 1 more like this.")]
    assert list(capped(few)) == [*few[:kept], *rest[:less]]


def test_a_message_of_more_than_1000_characters_is_cut() -> None:
    (reported,) = capped([SyncWarning(code="a", message="x" * 1001)])

    assert reported.message == "x" * 1000


def test_the_search_for_overlaps_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.rules.warnings.MOST_OVERLAPS", 3)
    sessions = given(document(*(talk(str(number)) for number in range(5)))).state.sessions

    assert len(double_bookings(sessions.values(), {})) == 3


def test_each_code_has_its_own_limit() -> None:
    mixed = [warning(code, n) for n in range(MOST_OF_A_CODE + 1) for code in ("a", "b")]
    mixed.append(warning("c", 0))

    codes = [w.code for w in capped(mixed)]
    assert {code: codes.count(code) for code in "abc"} == {
        "a": MOST_OF_A_CODE + 1,
        "b": MOST_OF_A_CODE + 1,
        "c": 1,
    }
    assert codes[-2:] == ["a", "b"]


def test_a_room_missing_from_the_document_is_still_named() -> None:
    state = given(document(talk("1"), talk("2"), rooms=[room(7, name="Aula")])).state
    sessions = state.sessions.values()

    (known,) = double_bookings(sessions, state.rooms)
    (unknown,) = double_bookings(sessions, {})
    assert "Aula" in known.message
    assert "room of an earlier import" in unknown.message
    assert known.sessionize_ids == unknown.sessionize_ids == ("1", "2")


def test_each_room_is_checked_separately_in_order_of_time() -> None:
    sessions = given(
        document(
            talk("3", "2026-05-28T11:00:00", "2026-05-28T12:00:00"),
            talk("1", "2026-05-28T09:00:00", "2026-05-28T10:01:00"),
            talk("2", "2026-05-28T10:00:00", "2026-05-28T11:01:00"),
            talk("x", "2026-05-28T09:00:00", "2026-05-28T12:00:00", room=8),
            talk("4", "2026-05-29T09:00:00", "2026-05-29T10:00:00"),
        )
    ).state.sessions

    assert [w.sessionize_ids for w in double_bookings(sessions.values(), {})] == [
        ("1", "2"),
        ("2", "3"),
    ]
