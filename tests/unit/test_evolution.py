"""A conference that evolves: the effect of each step, and an import of its whole history."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.view_all import ScheduleDocument
from contracts.events import SyncCompleted
from tests.support.evolution import EVERYDAY, STEPS, evolve, life
from tests.support.given import given

FIRST = conference("evolving", sessions=30)
WINDOW = conference_window()


def parsed(document: ScheduleDocument) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_conference(document))
    return read


@pytest.mark.parametrize("step", STEPS)
def test_a_step_changes_a_copy_of_the_document(step: str) -> None:
    before = msgspec.json.encode(FIRST)
    assert evolve(FIRST, step, seed="a") != FIRST
    assert msgspec.json.encode(FIRST) == before
    assert evolve(FIRST, step, seed="a") == evolve(FIRST, step, seed="a")


@pytest.mark.parametrize("step", ["reorder", "flip_notation"])
def test_steps_without_a_meaning_import_no_change(step: str) -> None:
    changed = evolve(FIRST, step, seed="b")
    assert given(parsed(FIRST), window=WINDOW).when(parsed(changed), WINDOW).changes == []


def test_flipping_the_notation_twice_restores_the_document() -> None:
    assert evolve(FIRST, "flip_notation", "flip_notation", seed="c") == FIRST


@pytest.mark.parametrize("step", ["add", "drop", "rename"])
def test_steps_with_a_meaning_import_a_change(step: str) -> None:
    changed = evolve(FIRST, *[step] * 3, seed="d")
    assert given(parsed(FIRST), window=WINDOW).when(parsed(changed), WINDOW).changes != []


def test_a_whole_history_is_importable_and_importing_a_state_again_changes_nothing() -> None:
    history = given(window=WINDOW)
    states = life(FIRST, 40, seed="e")
    assert any(one == other for one, other in pairwise(states))
    for state in states:
        history = history.after(parsed(state), WINDOW)
        assert isinstance(history.events[-1], SyncCompleted)
        assert history.when(parsed(state), WINDOW).changes == []


def test_every_everyday_step_exists() -> None:
    assert set(EVERYDAY) < set(STEPS)
