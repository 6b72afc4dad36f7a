"""Warnings about a schedule: which talks overlap, and how many warnings a run reports."""

import pytest

from contracts.events import SyncWarning
from tests.support.documents import document, room, talk
from tests.support.given import given
from worker.rules.warnings import MOST_OF_A_CODE, capped, double_bookings


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
    assert "7 more" in reported[-1].message


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
