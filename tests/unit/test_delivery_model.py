"""Appenders, relays, takeover and checkpoints, in every order of their steps.

Exhaustive for two appenders with two events each, two relays, and a process that dies or loses its
session without knowing, three times (twice where the broker has no transactions).
"""

import pytest

from tests.support.delivery import Model, explore

EVENTS, FAULTS = 2, 3


def test_with_transactions_each_event_is_there_once_and_in_order() -> None:
    states, wrong, way = explore(Model(), events=EVENTS, faults=FAULTS)
    assert wrong is None, way
    assert states > 10_000


def test_without_transactions_none_is_skipped_and_the_first_of_each_is_in_order() -> None:
    states, wrong, way = explore(Model(transactions=False), events=EVENTS, faults=FAULTS - 1)
    assert wrong is None, way
    assert states > 10_000


@pytest.mark.parametrize(
    ("taken_away", "found"),
    [
        (Model(lock=False), {"skipped", "inverted"}),
        (Model(fencing=False), {"repeated", "inverted"}),
        (Model(heeds_kafka=False), {"repeated"}),
        (Model(transactions=False, lock=False), {"skipped", "inverted"}),
        (Model(transactions=False, confirms_first=False), {"skipped", "unended"}),
    ],
)
def test_a_guarantee_that_is_taken_away_is_missed(taken_away: Model, found: set[str]) -> None:
    _, wrong, way = explore(taken_away, events=EVENTS, faults=FAULTS)
    assert wrong in found, way
