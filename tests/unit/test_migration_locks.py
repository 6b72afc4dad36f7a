"""Migrations are linted for locks and for changes that an earlier version would not survive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.migration_sql import migration_files, sql_of

SQUAWK = Path(sys.executable).with_name("squawk")
SET_BY_MIGRATE = ("require-lock-timeout", "require-statement-timeout")
"""`eventstore.migrate` sets the first for all statements; the second would end a good migration."""
ACCEPTED = {
    "0001": {"prefer-bigint-over-int"},  # the version of a schema stays small
    "0005": {"require-concurrent-index-creation"},  # of 0.1.0: no database was larger then
    "0006": {
        "ban-drop-constraint",  # it forbade nothing that a program relies on
        "prefer-bigint-over-int",  # the number of streams of a speaker
    },
}


def found_in(sql: str) -> set[str]:
    """Return the rules that a migration breaks."""
    command = [
        str(SQUAWK),
        "--assume-in-transaction",
        "--pg-version=15.0",
        "--reporter=json",
        f"--exclude={','.join(SET_BY_MIGRATE)}",
    ]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {finding["rule_name"] for finding in json.loads(done.stdout)}


@pytest.mark.parametrize("migration", migration_files(), ids=lambda path: path.stem)
def test_a_migration_takes_no_lock_that_stops_the_services(migration: Path) -> None:
    number = migration.stem.partition("_")[0]

    assert found_in(sql_of(migration)) == ACCEPTED.get(number, set())


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE event_store.events ADD COLUMN more text NOT NULL;", "adding-required-field"),
        ("ALTER TABLE event_store.events DROP COLUMN data;", "ban-drop-column"),
        ("CREATE INDEX i ON event_store.events (type);", "require-concurrent-index-creation"),
        ("ALTER TABLE event_store.inbox RENAME COLUMN stream_id TO id;", "renaming-column"),
    ],
)
def test_the_lint_finds_changes_that_break_running_services(sql: str, rule: str) -> None:
    assert rule in found_in(sql)
