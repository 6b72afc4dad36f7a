"""The table of failures in `docs/operations.md`, and its messages as the program prints them.

A test makes a failure, and calls `documented` with the message. To renew the messages of existing
rows, run the tests with SPREAVIEW_TEST_RENEW=1.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
RENEW = "SPREAVIEW_TEST_RENEW"

_HEAD = "| failure | message | mended by |"
_VALUES = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST:PORT"),
    (re.compile(r"test_[0-9a-f]{32}(_empty)?"), "DATABASE"),
    (re.compile(r"\bposition \d+"), "position N"),
    (re.compile(r"/\S*/pytest-\S+?(?=[:, ]|$)"), "FOLDER"),
    (re.compile(r"\d+ s\b"), "N s"),
)
"""Values that differ from one run to the next, and their names in the table."""


class Row(NamedTuple):
    """A row of the table."""

    failure: str
    message: str
    """Its lines are joined with `<br>`."""
    mended_by: str

    @property
    def command(self) -> list[str]:
        """The arguments of the first command of ours in the last column."""
        found = re.search(r"`spreaview-sync ([^`]+)`", self.mended_by)
        assert found is not None, self
        return found[1].split()

    def __str__(self) -> str:
        return f"| {self.failure} | {self.message} | {self.mended_by} |"


def rows() -> dict[str, Row]:
    """The rows of the table by the name of the failure."""
    _, found, table = PAGE.read_text("utf-8").partition(f"{_HEAD}\n|---|---|---|\n")
    assert found, "the page has no table of failures"
    lines = table.partition("\n\n")[0].splitlines()
    parsed = (Row(*(cell.strip() for cell in line.strip("| ").split(" | "))) for line in lines)
    return {row.failure: row for row in parsed}


def documented(failure: str, message: str, **values: object) -> Row:
    """Assert that the table has the message of a failure, as it was printed; return its row.

    `values` are further values that differ from one run to the next, by their name in the table.
    """
    row = rows()[failure]
    printed = _as_cell(message, values)
    if os.environ.get(RENEW) and row.message != printed:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(page.replace(str(row), str(row._replace(message=printed))), "utf-8")
        return rows()[failure]
    assert row.message == printed
    return row


def _as_cell(message: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        message = message.replace(str(value), name)
    for pattern, name in _VALUES:
        message = pattern.sub(name, message)
    lines = [line.strip().replace("|", "\\|") for line in message.strip().splitlines()]
    return "<br>".join(f"`` {line} ``" if "`" in line else f"`{line}`" for line in lines)
