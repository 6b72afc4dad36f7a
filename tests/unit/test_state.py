"""The decider's state, folded from a stream."""

import msgspec
import pytest

from contracts import samples
from contracts.codec import JsonObject
from contracts.events import (
    Counts,
    ImportEvent,
    RemovalsWithheld,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)
from contracts.messages import Window
from tests.support.documents import WINDOW, days, document, talk, unscheduled
from tests.support.given import ORGANIZATION, History, given
from worker.rules.state import State, fold

BY_TYPE = {type(event).__name__: event for event in samples.EVENTS}
STARTED = BY_TYPE["SyncStarted"]
COMPLETED = BY_TYPE["SyncCompleted"]
WITHHELD = BY_TYPE["RemovalsWithheld"]
FAILED = BY_TYPE["SyncFailed"]
SOURCE = document(
    talk("1"), talk("2", "2026-05-29T10:00:00", room=8, speakers=["eve"]), unscheduled("3")
)


def keys(state: State) -> dict[str, set[str]]:
    return {
        "sessions": set(state.sessions),
        "skipped": set(state.skipped),
        "past": set(state.past_sessions),
        "rooms": set(state.rooms),
        "past rooms": set(state.past_rooms),
        "speakers": set(state.speakers),
        "past speakers": set(state.past_speakers),
    }


def test_the_state_of_an_empty_stream_is_empty() -> None:
    assert fold([]) == State()


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param(
            [(SOURCE, WINDOW)],
            {"sessions": {"1", "2"}, "skipped": {"3"}, "rooms": {"7", "8"}, "past": set()},
            id="imported and skipped",
        ),
        pytest.param(
            [(SOURCE, WINDOW), (document(talk("1")), WINDOW)],
            {
                "sessions": {"1"},
                "skipped": set(),
                "past": {"2"},
                "rooms": {"7"},
                "past rooms": {"8"},
                "speakers": {"ada"},
                "past speakers": {"eve"},
            },
            id="withdrawn",
        ),
        pytest.param(
            [(SOURCE, WINDOW), (SOURCE, days(28, 28))],
            {"sessions": {"1"}, "skipped": {"2", "3"}, "past": {"2"}, "past rooms": {"8"}},
            id="left by a skip",
        ),
        pytest.param(
            [(SOURCE, WINDOW), (document(talk("1")), WINDOW), (SOURCE, WINDOW)],
            {
                "sessions": {"1", "2"},
                "skipped": {"3"},
                "past": set(),
                "past rooms": set(),
                "past speakers": set(),
            },
            id="restored",
        ),
    ],
)
def test_entities_are_shown_skipped_or_past(
    runs: list[tuple[JsonObject, Window]], expected: dict[str, set[str]]
) -> None:
    history = History()
    for source, window in runs:
        history = history.after(source, window)
    found = keys(history.state)

    assert {name: found[name] for name in expected} == expected


def test_a_past_session_is_remembered_as_it_was_last() -> None:
    state = given(
        SOURCE, document(talk("1"), talk("2", title="Renamed")), document(talk("1"))
    ).state

    assert state.past_sessions["2"].title == "Renamed"


def test_folding_in_parts_is_folding_at_once() -> None:
    events = given(SOURCE, document(talk("1")), SOURCE).events

    for cut in range(len(events) + 1):
        assert fold(events[cut:], fold(events[:cut])) == fold(events)


def test_the_version_counts_every_event_known_or_not() -> None:
    assert fold(samples.EVENTS).version == len(samples.EVENTS)


def with_(event: ImportEvent, **changes: object) -> ImportEvent:
    return msgspec.structs.replace(event, **changes)


@pytest.mark.parametrize(
    ("events", "open_runs"),
    [
        ([STARTED], {samples.SYNC}),
        ([STARTED, COMPLETED], set()),
        ([STARTED, FAILED], set()),
        ([STARTED, with_(STARTED, sync_id=ORGANIZATION), COMPLETED], {ORGANIZATION}),
        ([FAILED], set()),
        ([COMPLETED], set()),
    ],
    ids=lambda value: "-".join(type(e).__name__ for e in value) if isinstance(value, list) else "",
)
def test_a_run_is_open_from_its_start_to_its_outcome(
    events: list[ImportEvent], open_runs: set[object]
) -> None:
    assert set(fold(events).open_runs) == open_runs


def test_an_open_run_remembers_how_it_was_started() -> None:
    assert isinstance(STARTED, SyncStarted)
    assert fold([STARTED]).open_runs[samples.SYNC] == STARTED


def test_the_first_completed_sync_binds_the_event_to_its_organization() -> None:
    elsewhere = with_(COMPLETED, organization_id=ORGANIZATION)

    assert fold([STARTED]).organization_id is None
    assert fold([STARTED, FAILED]).organization_id is None
    assert fold([COMPLETED]).organization_id == samples.ORGANIZATION
    assert fold([COMPLETED, elsewhere]).organization_id == samples.ORGANIZATION


def test_the_last_completed_run_sets_the_order() -> None:
    assert isinstance(COMPLETED, SyncCompleted)
    assert isinstance(FAILED, SyncFailed)
    later = COMPLETED.ordered_at.replace(hour=23)
    state = fold([COMPLETED, with_(COMPLETED, ordered_at=later), with_(FAILED, ordered_at=later)])

    assert state.last_completed_ordered_at == later
    assert state.completed_runs == 2
    assert fold([STARTED, FAILED]).last_completed_ordered_at is None
    assert fold([STARTED, FAILED]).completed_runs == 0


def test_the_last_completed_run_sets_the_fingerprint() -> None:
    assert isinstance(STARTED, SyncStarted)
    assert fold([STARTED]).last_completed_fingerprint is None
    state = fold([STARTED, COMPLETED])

    assert state.last_completed_fingerprint == STARTED.api_id_fingerprint
    assert fold([FAILED], state).last_completed_fingerprint == STARTED.api_id_fingerprint


def test_the_withheld_sessions_are_those_of_all_withholding_events_of_a_run() -> None:
    assert isinstance(WITHHELD, RemovalsWithheld)
    assert isinstance(COMPLETED, SyncCompleted)
    other = msgspec.structs.replace(WITHHELD.sessions[0], sessionize_id="100002")
    rest = with_(WITHHELD, sessions=(other,))
    state = fold([STARTED, WITHHELD, rest, COMPLETED])

    assert state.withheld == {"100001", "100002"}
    assert fold([FAILED, STARTED, COMPLETED], state).withheld == {"100001", "100002"}
    assert fold([with_(rest, sync_id=ORGANIZATION), COMPLETED], state).withheld == {"100002"}
    none = with_(COMPLETED, counts=msgspec.structs.replace(COMPLETED.counts, sessions=Counts()))
    assert fold([none], state).withheld == frozenset()


def test_an_open_run_does_not_set_the_fingerprint() -> None:
    other = with_(STARTED, sync_id=ORGANIZATION, api_id_fingerprint="other")

    assert isinstance(STARTED, SyncStarted)
    assert fold([STARTED, other, COMPLETED]).last_completed_fingerprint == (
        STARTED.api_id_fingerprint
    )
