"""The removal guard: the removal of suspiciously many sessions is held back."""

from collections.abc import Iterable

import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import HeldSession, RemovalsWithheld
from contracts.failures import FailureCode
from tests.support.documents import document, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, Outcome, RequestOptions, given
from tests.support.program import FORTY, HELD_21, numbered, program
from worker.rules.removal_guard import GuardDecision, held_sessions
from worker.rules.sync_failures import SyncFailure


def gone(outcome: Outcome) -> int:
    """How many sessions leave the schedule."""
    return len([line for line in outcome.changes if line.startswith("Session")])


@pytest.mark.parametrize(
    ("imported", "removed", "held"),
    [
        (40, 18, 0),
        (40, 20, 0),
        (40, 21, 21),
        (40, 39, 39),
        (11, 6, 6),
        (12, 6, 0),
        (13, 7, 7),
        (9, 5, 0),
        (6, 5, 0),
    ],
)
def test_more_than_five_and_more_than_half_are_held(imported: int, removed: int, held: int) -> None:
    outcome = given(program(range(imported))).when(program(range(removed, imported)))

    assert gone(outcome) == removed - held
    assert len(outcome.completed.withheld) == outcome.completed.counts.sessions.withheld == held
    assert outcome.completed.counts.sessions.withdrawn == removed - held


def absent(row: JsonObject) -> list[JsonObject]:
    return []


def without_time(row: JsonObject) -> list[JsonObject]:
    return [unscheduled(row["id"])]


def without_room(row: JsonObject) -> list[JsonObject]:
    return [row | {"roomId": None}]


def another_day(row: JsonObject) -> list[JsonObject]:
    return [talk(row["id"], "2026-06-07T09:00:00")]


@pytest.mark.parametrize("fate", [absent, without_time, without_room, another_day])
def test_a_held_session_stays_unchanged_for_every_reason_to_leave(fate: object) -> None:
    assert callable(fate)
    rows = [row for number in range(21) for row in fate(numbered(number))]
    outcome = given(FORTY).when(document(*rows, *(numbered(number) for number in range(21, 40))))

    assert [line.split(" ")[0] for line in outcome.changes] == ["RemovalsWithheld"]
    assert outcome.completed.counts.sessions.skipped == 0
    assert outcome.completed.counts.sessions.unchanged == 19


def test_a_held_session_keeps_its_room_and_speakers() -> None:
    own = [numbered(n, roomId=9, speakers=["zed"]) for n in range(21)]
    rest = [numbered(n) for n in range(21, 40)]
    outcome = given(document(*own, *rest)).when(document(*rest))

    assert [line.split(" ")[0] for line in outcome.changes] == ["RemovalsWithheld"]
    assert outcome.completed.counts.rooms.unchanged == 5
    assert outcome.completed.counts.speakers.unchanged == 9


def test_held_sessions_are_reported_with_their_share() -> None:
    outcome = given(FORTY).when(program(range(21, 40)))

    held = tuple(
        HeldSession(
            session_id=identity.session_id(EVENT, f"{n:02}"),
            sessionize_id=f"{n:02}",
            title=f"Talk {n:02}",
        )
        for n in range(21)
    )
    assert outcome.the(RemovalsWithheld) == RemovalsWithheld(
        sync_id=given(FORTY).command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        guarded=40,
        removed=21,
        sessions=held,
    )
    assert outcome.completed.withheld == held
    (warning,) = outcome.completed.warnings
    assert warning.code == "removals_withheld"
    assert "21 of 40" in warning.message


def test_the_first_100_held_sessions_have_a_title() -> None:
    state = given(document(*(talk(f"{n:03}", isServiceSession=True) for n in range(102)))).state
    keys = frozenset(state.sessions)
    held = held_sessions(state, GuardDecision(keys, keys, keys))

    assert [found.sessionize_id for found in held] == sorted(keys)
    assert [found.title for found in held] == [*(f"Talk {n:03}" for n in range(100)), "", ""]


def test_a_held_session_stays_held_in_every_later_sync() -> None:
    history = given(*HELD_21)
    for _ in range(3):
        outcome = history.when(HELD_21[-1])
        assert outcome.changes == []
        assert len(outcome.completed.withheld) == 21
        history = history.after(HELD_21[-1])


def test_force_does_not_repeat_held_sessions() -> None:
    outcome = given(*HELD_21).when(HELD_21[-1], options=RequestOptions(force=True))

    assert gone(outcome) == outcome.completed.counts.sessions.repeated == 19


@pytest.mark.parametrize(
    ("allowed", "leaving"), [(None, 0), (0, 0), (20, 0), (21, 21), (22, 21), (1000, 21)]
)
def test_confirming_the_number_of_removals_applies_all_of_them(
    allowed: int | None, leaving: int
) -> None:
    for history in (given(FORTY), given(*HELD_21)):
        outcome = history.when(HELD_21[-1], options=RequestOptions(allow_removals=allowed))
        assert gone(outcome) == leaving
        assert len(outcome.completed.withheld) == 21 - leaving


def test_a_held_session_that_is_back_is_unchanged_or_updated_but_not_restored() -> None:
    back = document(*(numbered(n, title="New") if n == 0 else numbered(n) for n in range(40)))

    assert given(*HELD_21).when(FORTY).changes == []
    assert given(*HELD_21).when(back).changes == ["SessionImported 00 updated: title"]
    assert given(*HELD_21).after(FORTY).state.withheld == frozenset()


def test_the_held_set_is_reported_again_when_it_shrinks() -> None:
    some_back = program(range(15, 40))
    outcome = given(*HELD_21).when(some_back)

    assert len(outcome.the(RemovalsWithheld).sessions) == 15
    assert given(*HELD_21).after(some_back).when(some_back).changes == []


@pytest.mark.parametrize(
    ("more", "applied", "held"),
    [
        pytest.param(5, 5, 21, id="few more apply"),
        pytest.param(9, 9, 21, id="not more than half of the rest"),
        pytest.param(10, 0, 31, id="more than half of the rest"),
    ],
)
def test_newly_missing_sessions_are_decided_separately_from_held_ones(
    more: int, applied: int, held: int
) -> None:
    outcome = given(*HELD_21).when(program(range(21 + more, 40)))

    assert outcome.completed.counts.sessions.withdrawn == applied
    assert len(outcome.completed.withheld) == held
    assert len(outcome.all(RemovalsWithheld)) == (held > 21)


@pytest.mark.parametrize(
    ("imported", "present", "code"),
    [
        pytest.param(range(6), range(10, 20), "schedule_replaced", id="six, all replaced"),
        pytest.param(range(40), range(40, 60), "schedule_replaced", id="forty, all replaced"),
        pytest.param(range(1), (), "nothing_in_window", id="one, and nothing importable"),
        pytest.param(range(5), (), "nothing_in_window", id="five, and nothing importable"),
    ],
)
def test_a_schedule_that_replaces_everything_is_refused_until_it_is_confirmed(
    imported: Iterable[int], present: Iterable[int], code: str
) -> None:
    history, number = given(program(imported)), len(list(imported))
    replaced = document(talk("far", "2026-06-07T09:00:00"), *(numbered(n) for n in present))

    for allowed in (None, number - 1):
        with pytest.raises(SyncFailure) as failed:
            history.when(replaced, options=RequestOptions(allow_removals=allowed))
        assert failed.value.code == code
        assert f"{number} imported sessions" in failed.value.message
        assert "API ID" not in failed.value.message
    outcome = history.when(replaced, options=RequestOptions(allow_removals=number))
    assert outcome.completed.counts.sessions.withdrawn == number


def test_up_to_five_sessions_may_be_replaced() -> None:
    outcome = given(program(range(5))).when(program(range(10, 12)))

    assert outcome.completed.counts.sessions.withdrawn == 5


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (document(), FailureCode.SCHEDULE_EMPTY),
        (document(unscheduled("1")), FailureCode.SCHEDULE_NOT_ANNOUNCED),
    ],
)
def test_nothing_overrides_an_empty_or_unannounced_schedule(
    source: JsonObject, code: FailureCode
) -> None:
    with pytest.raises(SyncFailure) as failed:
        given(FORTY).when(
            source, options=RequestOptions(allow_removals=1000, force=True, api_id="efgh5678")
        )
    assert failed.value.code == code
