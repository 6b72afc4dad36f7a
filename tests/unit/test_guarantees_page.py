"""`docs/guarantees.md` names places and tests that exist."""

from tests.support.pages import LINK, TEST
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| promise")
]


def test_each_promise_has_a_place_and_a_test() -> None:
    assert len(ROWS) > 40
    for promise, place, held_by in ROWS:
        assert LINK.search(place), promise
        assert TEST.search(held_by), promise


def test_the_tests_exist() -> None:
    for _, _, held_by in ROWS:
        for file, name in TEST.findall(held_by):
            path = ROOT / file if "/" in file else ROOT / "tests" / "integration" / file
            assert not name or f"def {name}(" in path.read_text("utf-8"), f"{file}::{name}"


def test_no_promise_is_made_twice() -> None:
    promises = [promise for promise, *_ in ROWS]
    assert len(promises) == len(set(promises))
