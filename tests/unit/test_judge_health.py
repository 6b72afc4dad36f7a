"""The oracle compares the health that processes report with the outages of a run."""

import pytest

from tests.support.chaos.oracle.judge_health import Answer, Outage, judge_health
from tests.support.chaos.oracle.report import Findings

ALL = ("worker-0", "worker-1")


def answer(name: str, at: float, *, is_ready: bool, is_live: bool = True) -> Answer:
    faults = "" if is_ready else "PostgreSQL: away"
    return Answer(name, at, at + 0.1, is_live, is_ready, faults)


def findings(*answers: Answer, hits_all: bool = True, shown_by: str = "api-0") -> list[str]:
    found = Findings()
    outage = Outage("the path is refused", 10.0, 20.0, 5.0, ALL, hits_all, [shown_by])
    judge_health(answers, [outage], found)
    return found.found["misreported"]


@pytest.mark.parametrize("at", [9.0, 14.0, 19.95, 21.0])
def test_a_process_may_be_ready_before_the_grace_is_over_and_after_the_outage(at: float) -> None:
    assert findings(answer("worker-0", at, is_ready=True)) == []


def test_a_process_that_is_ready_in_spite_of_an_outage_is_found() -> None:
    (found,) = findings(
        answer("worker-0", 16.0, is_ready=True), answer("worker-1", 16.0, is_ready=False)
    )
    assert found == "worker-0 reported no outage more than 5 s after: the path is refused"


def test_a_process_that_can_do_without_may_be_ready_if_it_shows_the_outage() -> None:
    """As the HTTP side without Kafka, which it needs for requests only."""
    hidden = answer("worker-0", 16.0, is_ready=True)
    shown = hidden._replace(faults="Kafka: away")
    assert findings(shown, shown_by="worker-0") == []
    assert len(findings(hidden, shown_by="worker-0")) == 1
    assert len(findings(shown)) == 1


def test_one_process_that_reports_an_outage_may_be_enough() -> None:
    ready = answer("worker-0", 16.0, is_ready=True)
    unready = answer("worker-1", 16.0, is_ready=False)
    assert findings(ready, unready, hits_all=False) == []
    assert len(findings(ready, hits_all=False)) == 1


def test_a_process_that_another_fault_has_hit_is_not_compared() -> None:
    assert findings(answer("projector-0", 16.0, is_ready=True)) == []


def test_a_process_that_wants_a_restart_is_found() -> None:
    assert findings(answer("worker-0", 16.0, is_ready=False, is_live=False)) == [
        "worker-0 was not live: PostgreSQL: away"
    ]
