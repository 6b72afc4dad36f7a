"""A conference that evolves: what each step does, and the import's whole life with it."""

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
def test_a_step_changes_the_document_and_leaves_the_one_before_alone(step: str) -> None:
    before = msgspec.json.encode(FIRST)
    assert evolve(FIRST, step, seed="a") != FIRST
    assert msgspec.json.encode(FIRST) == before
    assert evolve(FIRST, step, seed="a") == evolve(FIRST, step, seed="a")


@pytest.mark.parametrize("step", ["reorder", "flip_notation"])
def test_steps_that_mean_nothing_change_nothing_shown(step: str) -> None:
    changed = evolve(FIRST, step, seed="b")
    assert given(parsed(FIRST), window=WINDOW).when(parsed(changed), WINDOW).changes == []


def test_the_notation_flips_back() -> None:
    assert evolve(FIRST, "flip_notation", "flip_notation", seed="c") == FIRST


@pytest.mark.parametrize("step", ["add", "drop", "rename"])
def test_steps_that_mean_something_are_told(step: str) -> None:
    changed = evolve(FIRST, *[step] * 3, seed="d")
    assert given(parsed(FIRST), window=WINDOW).when(parsed(changed), WINDOW).changes != []


def test_a_whole_life_is_importable_and_each_state_repeats_in_silence() -> None:
    history = given(window=WINDOW)
    states = life(FIRST, 40, seed="e")
    assert any(one == other for one, other in pairwise(states))
    for state in states:
        history = history.after(parsed(state), WINDOW)
        assert isinstance(history.events[-1], SyncCompleted)
        assert history.when(parsed(state), WINDOW).changes == []


def test_every_step_has_its_day() -> None:
    assert set(EVERYDAY) < set(STEPS)
