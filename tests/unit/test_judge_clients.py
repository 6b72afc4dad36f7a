"""The oracle compares what clients were shown with the log."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from contracts import samples
from contracts.canonical import canonical
from contracts.codec import take_apart
from tests.support.chaos.oracle.judge_clients import (
    Answer,
    Session,
    judge_answers,
    judge_order,
)
from tests.support.chaos.oracle.judge_views import states_of
from tests.support.chaos.oracle.log import Event, Log
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.views import Snapshot

AT = datetime(2026, 5, 20, tzinfo=UTC)
EVENT = samples.EVENT
RUNS = (UUID(int=1), UUID(int=2))
GENERATION = ("log", 1)
SAMPLES: dict[str, Any] = {type(event).__name__: event for event in samples.EVENTS}


def the_log() -> Log:
    """Two runs of one event: versions 1 to 3 and 4 to 6; each imports one session."""
    events: list[Event] = []
    for run in RUNS:
        for type_ in ("SyncStarted", "SessionImported", "SyncCompleted"):
            number = len(events) + 1
            event = replace(SAMPLES[type_], sync_id=run, spreaview_event_id=EVENT)
            data = json.loads(canonical(take_apart(event).data))
            if type_ == "SessionImported":
                data |= {"session_id": str(UUID(int=number)), "sessionize_id": str(number)}
            events.append(Event(number, EVENT, number, uuid4(), type_, 1, data, {}, AT, b"", data))
    return Log(events, {EVENT: len(events)}, 0)


LOG = the_log()


def answer(version: int, **fields: Any) -> Answer:
    """A schedule as it is at a version that ends an outcome, or at the one before."""
    states = states_of(LOG)[EVENT]
    state = states[max(known for known in states if known <= version)]
    sessions = frozenset(
        Session(row["session_id"], row["title"], row["starts_at"], row["ends_at"], row["room_id"])
        for row in state.views["sessions"].values()
    )
    given: dict[str, Any] = {
        "reader": "r",
        "event_id": EVENT,
        "waited_for": None,
        "min_version": 0,
        "of": GENERATION,
        "version": version,
        "sessions": sessions,
    }
    return Answer(**(given | fields))


def found(*answers: Answer) -> dict[str, int]:
    findings = Findings()
    judge_answers(answers, LOG, findings)
    return {kind: number for kind, number in findings.counts().items() if number}


def test_answers_that_are_right_are_no_findings() -> None:
    assert len(answer(6).sessions) == 2
    assert not found(
        answer(1),
        answer(3, waited_for=RUNS[0], min_version=2),
        answer(6, waited_for=RUNS[1], min_version=6),
    )


@pytest.mark.parametrize(
    "stale",
    [
        answer(3, min_version=4),
        answer(3, waited_for=RUNS[1]),
        answer(6, waited_for=UUID(int=9)),
    ],
    ids=["version", "sync", "sync without an outcome"],
)
def test_an_answer_older_than_asked_for_is_found(stale: Answer) -> None:
    assert found(stale) == {"stale": 1}


def test_an_answer_older_than_the_one_before_is_found() -> None:
    assert found(answer(6), answer(3)) == {"backwards": 1}


def test_another_reader_and_another_generation_may_be_behind() -> None:
    assert not found(answer(6), answer(3, reader="another"), answer(3, of=("log", 2)))


def test_a_version_within_an_outcome_is_found() -> None:
    assert found(answer(2)) == {"half-applied": 1}


def test_the_rows_of_another_version_are_found() -> None:
    assert found(answer(3, sessions=answer(6).sessions)) == {"half-applied": 1}


def test_a_reader_of_the_read_models_that_sees_an_earlier_version_is_found() -> None:
    findings = Findings()
    seen = [Snapshot(EVENT, version, 0, {}) for version in (1, 3, 3, 6, 3, 6)]
    judge_order(seen, findings)
    assert findings.counts()["backwards"] == 1
