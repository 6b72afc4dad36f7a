"""The outcome as a whole: failures, order, `SyncCompleted`, counts, warnings."""

import copy

import pytest

from contracts.codec import JsonObject
from contracts.events import AllCounts, Counts, SyncCompleted
from contracts.failures import FailureCode
from tests.support.documents import BROKEN, days, document, room, speaker, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, SOURCE, RequestOptions, given, schedule_of
from worker.rules.decide import decide
from worker.rules.sync_failures import SyncFailure
from worker.rules.warnings import MOST_OF_A_CODE

# One of everything: what it was, and what it became.
PAST = document(
    talk("1", speakers=["ada", "eve"]),
    talk("2", "2026-05-28T10:00:00"),
    talk("3", "2026-05-28T11:00:00", room=8, speakers=["kim"]),
    talk("4", "2026-05-29T09:00:00"),
    talk("5", "2026-05-29T10:00:00"),
    unscheduled("6"),
    talk("7", "2026-05-27T10:00:00"),
)
PRESENT = document(
    talk("8", "2026-05-28T15:00:00", room=9, speakers=["noa"]),
    talk("1", speakers=["eve"], title="New"),
    talk("2", "2026-05-28T10:00:00"),
    talk("4", "2026-06-01T09:00:00"),
    unscheduled("5"),
    talk("7", "2026-05-27T10:00:00"),
    speakers=[speaker("noa"), speaker("eve", bio="New"), speaker("ada")],
    rooms=[room(9), room(7, name="New"), room(10)],
)


@pytest.mark.parametrize("past", [[], [document(talk("1"))]], ids=["never synced", "imported"])
@pytest.mark.parametrize(
    ("source", "code", "reason"),
    [
        pytest.param(
            document(), FailureCode.SCHEDULE_EMPTY, "contains no sessions.", id="no session"
        ),
        pytest.param(
            document(unscheduled("1"), unscheduled("2")),
            FailureCode.SCHEDULE_NOT_ANNOUNCED,
            "lists 2 sessions, but none of them has a time: the schedule is not announced.",
            id="no session has a time",
        ),
        pytest.param(
            document(talk("1") | BROKEN, talk("2") | BROKEN),
            FailureCode.UNEXPECTED_DOCUMENT,
            ": not one of its sessions can be read.",
            id="no session can be read",
        ),
    ],
)
def test_a_document_without_a_schedule_fails_in_every_state(
    past: list[JsonObject], source: JsonObject, code: FailureCode, reason: str
) -> None:
    with pytest.raises(SyncFailure) as failed:
        given(*past).when(source, options=RequestOptions(force=True))
    assert failed.value.code == code
    assert failed.value.message.endswith(reason)


def test_a_single_session_with_a_time_is_a_schedule() -> None:
    outcome = given().when(document(talk("1"), unscheduled("2"), unscheduled("3")))

    assert outcome.completed.counts.sessions == Counts(added=1, skipped=2)


def test_the_order_of_the_events_is_stable() -> None:
    outcome = given(PAST).when(PRESENT)

    assert outcome.changes == [
        "RoomImported 7 updated: name",
        "RoomImported 9 added",
        "SpeakerImported eve updated: bio",
        "SpeakerImported noa added",
        "SessionImported 8 added",
        "SessionImported 1 updated: title, speaker_ids",
        "SessionSkippedOutOfWindow 4 after_window, was imported",
        "SessionSkippedUnscheduled 5: starts_at, ends_at, room, was imported",
        "SessionWithdrawn 3 missing_from_source, was imported",
        "SessionWithdrawn 6 missing_from_source",
        "SpeakerWithdrawn kim missing_from_source, was imported",
        "RoomWithdrawn 8 missing_from_source, was imported",
    ]
    assert isinstance(outcome.events[-1], SyncCompleted)
    assert outcome.events == given(PAST).when(PRESENT).events


def test_the_outcome_reports_counts_and_source() -> None:
    past = given(PAST)

    assert past.when(PRESENT).completed == SyncCompleted(
        sync_id=past.command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        ordered_at=past.command().ordered_at,
        counts=AllCounts(
            sessions=Counts(added=1, updated=1, unchanged=1, skipped=3, withdrawn=1),
            speakers=Counts(added=1, updated=1, unchanged=1, withdrawn=1),
            rooms=Counts(added=1, updated=1, withdrawn=1),
        ),
        warnings=(),
        withheld=(),
        unreferenced_rooms=("10",),
        unreferenced_speakers=(),
        unreferenced_rooms_total=1,
        unreferenced_speakers_total=0,
        source=SOURCE,
        duration_ms=3,
    )


def test_every_event_carries_the_ids_of_its_run() -> None:
    past = given(PAST)
    ids = (past.command().sync_id, ORGANIZATION, EVENT)

    assert {
        (event.sync_id, event.organization_id, event.spreaview_event_id)
        for event in past.when(PRESENT).events
    } == {ids}


def test_deciding_does_not_change_the_state() -> None:
    past = given(PAST)
    state = past.state
    before = copy.deepcopy(state)

    decide(state, schedule_of(PRESENT), past.command(), SOURCE, 3)
    assert state == before


def test_a_schedule_without_a_session_in_the_window_completes_with_a_warning() -> None:
    outcome = given().when(document(talk("1")), days(1, 2))

    assert outcome.changes[0] == "SessionSkippedOutOfWindow 1 after_window"
    assert outcome.warnings == ["no_session_in_window"]


def test_sessions_without_a_room_are_not_said_to_lie_outside_the_dates() -> None:
    outcome = given().when(document(talk("1", room=None), talk("2", room=None)))

    assert outcome.changes == [
        "SessionSkippedUnscheduled 1: room",
        "SessionSkippedUnscheduled 2: room",
    ]
    assert outcome.warnings == []


def booked(*sessions: JsonObject) -> list[str]:
    return given().when(document(*sessions)).warnings


@pytest.mark.parametrize(
    ("second", "warnings"),
    [
        pytest.param(talk("2", "2026-05-28T09:44:59"), ["room_double_booked 1 2"], id="overlap"),
        pytest.param(talk("2", "2026-05-28T07:30:00Z"), ["room_double_booked 1 2"], id="in UTC"),
        pytest.param(talk("2", "2026-05-28T08:30:00"), ["room_double_booked 2 1"], id="earlier"),
        pytest.param(talk("2", "2026-05-28T09:45:00"), [], id="back to back"),
        pytest.param(talk("2", room=8), [], id="another room"),
        pytest.param(talk("2", isServiceSession=True), [], id="service session"),
    ],
)
def test_overlapping_talks_in_one_room_give_a_warning(
    second: JsonObject, warnings: list[str]
) -> None:
    assert booked(talk("1"), second) == warnings


def test_a_double_booking_names_the_talks_and_the_room() -> None:
    (warning,) = given().when(document(talk("1"), talk("2"))).completed.warnings

    for name in ("Talk 1", "Talk 2", "Room 7"):
        assert name in warning.message


def test_a_long_talk_is_double_booked_with_each_talk_it_covers() -> None:
    long = talk("1", "2026-05-28T09:00:00", "2026-05-28T12:00:00")

    assert booked(long, talk("2", "2026-05-28T09:30:00"), talk("3", "2026-05-28T11:00:00")) == [
        "room_double_booked 1 2",
        "room_double_booked 1 3",
    ]


def test_a_run_reports_a_limited_number_of_warnings_of_a_code_and_counts_the_rest() -> None:
    dangling = [talk(str(n), f"2026-05-{28 + n % 2}T09:00:00", room=None) for n in range(60)]
    source = document(talk("x", "2026-05-28T20:00:00"), *(t | {"roomId": 99} for t in dangling))
    outcome = given().when(source | {"rooms": [room(7)]})

    assert len(outcome.completed.warnings) == MOST_OF_A_CODE + 1
    assert outcome.completed.warnings[-1].code == "unknown_room"
    assert "10 more" in outcome.completed.warnings[-1].message
