"""The problems of a status, from its sections."""

from typing import Any
from uuid import UUID

import pytest

from cli.status.report import Status
from cli.status.sections import Erasures, Intake, OpenRuns, Relay, Unknown
from eventstore.open_runs import OpenRun
from eventstore.read import Behind
from worker.relay.rewind import RelayStatus


def relay(seconds: float, leader: str | None = "worker at a") -> Relay:
    behind = Behind(7, seconds)
    status = RelayStatus(
        leader=leader,
        head=7,
        checkpoint=None,
        committed=None,
        published=0,
        behind=behind,
        mismatch=None,
        unpublished=[],
        stuck_seconds=60,
    )
    return Relay(status)


def problems_of(name: str, **sections: object) -> list[str]:
    """The problems of a section; those that are not given could not be read."""
    unread: dict[str, Any] = dict.fromkeys(Status.__dataclass_fields__, Unknown("not read"))
    status = Status(**unread | sections)
    return [each.problem for each in status.problems if each.section == name]


def assert_beginnings(found: list[str], expected: list[str]) -> None:
    assert [each[: len(begin)] for each, begin in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("section", "problems"),
    [
        (relay(59), []),
        (relay(61), ["7 events not on Kafka for 61 s, although worker at a leads: it is"]),
        (relay(1, leader=None), ["nobody publishes: 7 events not on Kafka yet, and no worker"]),
    ],
)
def test_a_relay_that_publishes_nothing_is_a_problem(section: Relay, problems: list[str]) -> None:
    assert_beginnings(problems_of("relay", relay=section), problems)


@pytest.mark.parametrize(
    ("section", "is_well"),
    [
        (relay(59), True),
        (relay(61), False),
        (relay(3, leader=None), True),  # one worker replaces another
        (relay(11, leader=None), False),
    ],
)
def test_a_relay_is_well_while_it_publishes_or_changes_hands(section: Relay, is_well: bool) -> None:
    assert section.status.is_well == is_well


def intake(waiting: int, oldest: float, idle: float, workers: int | None = 1) -> Intake:
    return Intake(waiting, oldest, workers, idle, stuck_seconds=60)


@pytest.mark.parametrize(
    ("section", "problems"),
    [
        (intake(0, 0, 0), []),
        (intake(1, 59, 59), []),
        (intake(400, 1800, 50), []),  # they wait for their turn, and runs end meanwhile
        (
            intake(2, 90, 61),
            ["2 requests waiting, and no run has begun or ended for 61 s, although"],
        ),
        (intake(1, 61, 61, None), ["1 request waiting, and no run has begun or ended for 61 s"]),
        (intake(1, 1, 1, 0), ["1 request waiting, and no worker runs"]),
    ],
)
def test_requests_are_stuck_while_no_run_makes_progress(
    section: Intake, problems: list[str]
) -> None:
    assert_beginnings(problems_of("intake", intake=section, relay=relay(1)), problems)


@pytest.mark.parametrize(
    ("seconds", "workers", "problems"),
    [
        (59, 1, []),
        (61, 1, ["1 erasure request waiting, the oldest for 61 s, although a worker runs: look"]),
        (1, 0, ["1 erasure request waiting, and no worker runs"]),
    ],
)
def test_an_erasure_request_that_waits_for_too_long_is_a_problem(
    seconds: float, workers: int, problems: list[str]
) -> None:
    section = Erasures(1, seconds, stuck_seconds=60)
    found = problems_of("erasures", erasures=section, intake=intake(0, 0, 0, workers))
    assert_beginnings(found, problems)


@pytest.mark.parametrize(
    ("seconds", "workers", "problems"),
    [
        (59, 1, []),
        (61, 1, ["1 run open, the oldest for 61 s, although a worker runs: look at its log"]),
        (1, 0, ["1 run open, and no worker runs"]),
    ],
)
def test_a_run_that_is_open_for_too_long_is_a_problem(
    seconds: float, workers: int, problems: list[str]
) -> None:
    section = OpenRuns([OpenRun(UUID(int=1), UUID(int=2))], seconds, stuck_seconds=60)
    found = problems_of("open_runs", open_runs=section, intake=intake(0, 0, 0, workers))
    assert_beginnings(found, problems)
