"""Never empty, one number, and what left: the rules about whole schedules."""

import re

import pytest

from contracts.codec import JsonObject
from contracts.failures import FailureCode
from contracts.messages import Window
from tests.support.documents import BROKEN, WINDOW, days, document, talk, unscheduled
from tests.support.given import History, Outcome, RequestOptions, given
from tests.support.program import FORTY, HELD_21, numbered, program
from worker.rules.sync_failures import SyncFailure

PLAIN = RequestOptions()
OTHER_API_ID = RequestOptions(api_id="efgh5678")
NEXT_YEAR = Window(
    starts_on=WINDOW.starts_on.replace(year=2027),
    ends_on=WINDOW.ends_on.replace(year=2027),
    time_zone=WINDOW.time_zone,
)
WITHOUT_ROOMS = document(*(numbered(n, roomId=None) for n in range(40)))
ELSEWHERE = document(*(talk(f"x{n}", "2026-06-07T09:00:00") for n in range(3)))
SOME_HELD = (FORTY, program(range(21, 40)), program(range(26, 40)))


def refused(
    history: History,
    source: JsonObject,
    window: Window = WINDOW,
    options: RequestOptions = PLAIN,
) -> SyncFailure:
    with pytest.raises(SyncFailure) as failed:
        history.when(source, window, options)
    return failed.value


def test_a_mistyped_year_keeps_the_schedule() -> None:
    failure = refused(given(FORTY), FORTY, NEXT_YEAR)

    assert failure.code == FailureCode.NOTHING_IN_WINDOW
    assert "Outside the dates: 40." in failure.message
    assert "another event" not in failure.message


def test_another_api_id_that_leaves_nothing_keeps_the_schedule() -> None:
    failure = refused(given(FORTY), ELSEWHERE, options=OTHER_API_ID)

    assert failure.code == FailureCode.NOTHING_IN_WINDOW
    assert "Missing from the schedule: 40. The API ID is not that of the last sync." in (
        failure.message
    )


def test_a_schedule_without_rooms_is_refused_for_that_reason() -> None:
    failure = refused(given(FORTY), WITHOUT_ROOMS, options=OTHER_API_ID)

    assert failure.code == FailureCode.SCHEDULE_REPLACED
    assert "Without a time or a room: 40." in failure.message
    assert "another event" not in failure.message


def test_each_reason_to_leave_is_counted() -> None:
    roomless = [numbered(n, roomId=None) for n in range(10)]
    outside = [talk(f"{n:02}", "2026-06-07T09:00:00") for n in range(10, 15)]

    assert (
        "Missing from the schedule: 25; without a time or a room: 10; outside the dates: 5."
    ) in refused(given(FORTY), document(*roomless, *outside)).message


def test_a_single_imported_session_is_protected_too() -> None:
    history = given(document(talk("1")))

    assert refused(history, document(talk("2", room=None))).code == FailureCode.SCHEDULE_REPLACED


def test_a_session_kept_as_unreadable_is_enough() -> None:
    outcome = given(document(talk("1"))).when(
        document(talk("1") | BROKEN, talk("2", "2026-06-07T09:00:00"))
    )

    assert outcome.completed.counts.sessions.unchanged == 1


def test_a_first_import_may_find_nothing_in_its_dates() -> None:
    assert given().when(FORTY, days(1, 2)).completed.counts.sessions.skipped == 40


def test_another_api_id_that_leaves_something_applies() -> None:
    outcome = given(FORTY).when(program(range(40, 41)), options=OTHER_API_ID)

    assert outcome.completed.counts.sessions.withdrawn == 40


@pytest.mark.parametrize(
    ("history", "source", "window", "options"),
    [
        pytest.param(given(FORTY), FORTY, NEXT_YEAR, RequestOptions(), id="dates"),
        pytest.param(given(FORTY), ELSEWHERE, WINDOW, OTHER_API_ID, id="API ID"),
        pytest.param(given(FORTY), WITHOUT_ROOMS, WINDOW, RequestOptions(), id="rooms"),
        pytest.param(given(FORTY), program(range(50, 60)), WINDOW, RequestOptions(), id="replaced"),
        pytest.param(given(FORTY), HELD_21[-1], WINDOW, RequestOptions(), id="held"),
        pytest.param(given(*HELD_21), HELD_21[-1], WINDOW, RequestOptions(), id="still held"),
        pytest.param(
            given(*SOME_HELD), program(range(38, 40)), WINDOW, RequestOptions(), id="more"
        ),
        pytest.param(
            given(*HELD_21),
            document(unscheduled("1"), talk("2", "2026-06-07T09:00:00")),
            NEXT_YEAR,
            OTHER_API_ID,
            id="everything at once",
        ),
    ],
)
def test_the_number_that_is_named_makes_this_very_run_apply(
    history: History, source: JsonObject, window: Window, options: RequestOptions
) -> None:
    def run(allowed: int | None) -> Outcome | SyncFailure:
        try:
            return history.when(
                source, window, RequestOptions(options.force, allowed, options.api_id)
            )
        except SyncFailure as failure:
            return failure

    def number_in(result: Outcome | SyncFailure) -> int:
        if isinstance(result, SyncFailure):
            text = result.remedy
        else:
            warnings = result.completed.warnings
            (text,) = [w.message for w in warnings if w.code == "removals_withheld"]
        (number,) = re.findall(r"allow_removals: (\d+)", text)
        return int(number)

    number = number_in(run(None))
    assert number_in(run(number - 1)) == number
    applied = run(number)
    assert isinstance(applied, Outcome)
    assert applied.completed.counts.sessions.withheld == 0
    counts = applied.completed.counts.sessions
    assert counts.withdrawn + counts.skipped >= number


def test_sessions_that_left_with_the_dates_are_counted_and_named() -> None:
    two_days = document(*(numbered(n, 28 + n // 20) for n in range(40)))
    rest = document(*(numbered(n, 28 + n // 20) for n in range(40) if n != 39))
    outcome = given(two_days).when(rest, days(28, 28))

    counts = outcome.completed.counts.sessions
    assert (counts.left, counts.skipped, counts.withdrawn) == (20, 19, 1)
    (warning,) = outcome.completed.warnings
    assert warning.code == "window_changed"
    assert warning.message == "20 imported sessions left the schedule because the dates changed."
    assert given(two_days).after(rest, days(28, 28)).when(rest, days(28, 28)).warnings == []


def test_a_session_that_moves_into_the_new_dates_did_not_leave() -> None:
    moved = document(numbered(0, 30), numbered(1, 30))
    outcome = given(program(range(2))).when(moved, days(30, 30))

    assert outcome.completed.counts.sessions.left == 0
    assert outcome.warnings == []
