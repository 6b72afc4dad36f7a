"""Each table of the read models has one owner: which modules have statements that write it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("audit", "cli", "contracts", "eventstore", "messaging", "projections", "worker")
_WRITES = re.compile(
    r"\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE)\s+(?:spreaview\w*\.)?(?P<table>[a-z_.]+)"
)
_ROWS = {"projections/statements.py", "projections/repair.py"}
OWNERS: Mapping[str, set[str]] = {
    "event_store.erasures": {"eventstore/erasure_answers.py"},
    "event_store.confirmed_places": {
        "eventstore/restored.py",
        "eventstore/migrations/versions/0007_confirmed_places.py",
    },
    "projections.generations": {"projections/generations.py"},
    "stream_progress": {*_ROWS, "projections/stopping.py"},
    "sync_runs": _ROWS,
    "rooms": _ROWS,
    "event_speakers": _ROWS,
    "sessions": _ROWS,
    "session_speakers": _ROWS,
    "skipped_sessions": _ROWS,
}


@cache
def writers() -> dict[str, set[str]]:
    """By table: the modules of the product that have a statement that writes it."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for match in _WRITES.finditer(path.read_text("utf-8")):
                module = path.relative_to(ROOT).as_posix()
                found.setdefault(match["table"], set()).add(module)
    return found


@pytest.mark.parametrize("table", OWNERS)
def test_only_the_owner_writes_a_table(table: str) -> None:
    assert writers()[table] == OWNERS[table]
