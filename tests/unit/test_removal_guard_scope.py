"""Sessions under the removal guard: readable, in the window, from the same API ID."""

from collections.abc import Iterable

import pytest

from contracts.messages import Window
from tests.support.documents import BROKEN, WINDOW, days, document, talk
from tests.support.given import RequestOptions, given
from tests.support.program import FORTY, HELD_21, numbered, program


def test_unreadable_sessions_do_not_count_as_removed() -> None:
    rows = [numbered(n) | (BROKEN if n < 21 else {}) for n in range(40)]
    outcome = given(FORTY).when(document(*rows))

    assert outcome.changes == []
    assert outcome.completed.withheld == ()
    assert outcome.completed.counts.sessions.unchanged == 40


def test_a_changed_api_id_is_unguarded_with_a_warning() -> None:
    other = RequestOptions(api_id="efgh5678")
    outcome = given(FORTY).when(program(range(40, 50)), options=other)

    assert outcome.completed.counts.sessions.withdrawn == 40
    assert outcome.warnings == ["source_changed"]
    assert given(*HELD_21).when(HELD_21[-1], options=other).completed.withheld == ()


def test_a_second_run_with_the_changed_api_id_is_guarded_again() -> None:
    other = RequestOptions(api_id="efgh5678")
    history = given(FORTY).after(FORTY, WINDOW, other)

    assert history.when(FORTY, options=other).warnings == []
    assert len(history.when(program(range(21, 40)), WINDOW, other).completed.withheld) == 21
    assert history.when(FORTY).warnings == ["source_changed"]


TWO_DAYS = document(*(numbered(n, 28 + n // 20) for n in range(40)))


@pytest.mark.parametrize(
    ("window", "missing", "held"),
    [
        pytest.param(days(7, 8), range(40), 0, id="moved: nothing is guarded"),
        pytest.param(days(28, 28), range(10), 0, id="narrowed: half of the kept part"),
        pytest.param(days(28, 28), range(11), 11, id="narrowed: more than half of the kept part"),
        pytest.param(days(27, 30), range(21), 21, id="widened: all is guarded"),
    ],
)
def test_only_sessions_in_the_new_window_are_guarded(
    window: Window, missing: Iterable[int], held: int
) -> None:
    rest = [numbered(n, 28 + n // 20) for n in range(40) if n not in missing]
    outcome = given(TWO_DAYS).when(document(talk("far", "2026-05-07T09:00:00"), *rest), window)

    assert len(outcome.completed.withheld) == held


def test_a_moved_window_releases_held_sessions() -> None:
    early = numbered(50, title="Early") | {"startsAt": "2026-05-01T09:00:00"}
    moved = document(*(numbered(n) for n in range(21, 40)), early)
    outcome = given(*HELD_21).when(moved, days(1, 2))

    assert outcome.completed.withheld == ()
    assert outcome.completed.counts.sessions.left == 40
    assert outcome.completed.counts.sessions.withdrawn == 21
    assert outcome.completed.counts.sessions.skipped == 19
