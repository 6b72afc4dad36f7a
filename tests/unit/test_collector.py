"""The garbage collector of the program."""

import gc
from collections.abc import Iterator

import pytest

from cli.collector import collect_rarely


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds, was_on = gc.get_threshold(), gc.isenabled()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable() if was_on else gc.disable()


def test_a_command_collects_although_it_was_imported_without_the_collector() -> None:
    gc.disable()

    collect_rarely()

    assert gc.isenabled()
    assert gc.get_threshold()[0] == 10_000
    assert gc.get_freeze_count() > 0
