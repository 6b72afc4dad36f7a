"""`docs/limits.md` is true: each number is that of the code, and each test exists."""

import re
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import ClassVar, NamedTuple, cast
from uuid import uuid4

import pytest

from audit.http import changes
from audit.http.changes import MAX_CHANGES, ChangesOfRuns
from audit.verify.findings import FindingKind
from audit.verify.report import MAX_FINDINGS, VerificationReport
from cli.settings import PREFIX, Settings
from eventstore.log import EventLog
from tests.support.pages import named_tests
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "limits.md"
_UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}
_NUMBER = re.compile(r"([\d,]+) ?(\w*)")


class Limit(NamedTuple):
    """A row of one of the tables."""

    limit: str
    number: str
    where: str
    consequence: str
    test: str


def limits() -> Iterator[Limit]:
    """Yield every row of every table."""
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "limit":
            yield Limit(*cells)


LIMITS = list(limits())
NUMBERED = [limit for limit in LIMITS if limit.number]


def value_of(where: str) -> float:
    """Return the constant, or the default of the setting, that a row names."""
    name = where.strip("`")
    if name.startswith(PREFIX):
        default = Settings.model_fields[name.removeprefix(PREFIX).lower()].default
        return float(default)
    module, _, constant = name.rpartition(".")
    if module.endswith("Limits"):  # a named tuple of a module
        module, _, owner = module.rpartition(".")
        defaults: dict[str, float] = getattr(import_module(module), owner)._field_defaults
        return float(defaults[constant])
    return float(getattr(import_module(module), constant))


@pytest.mark.parametrize("limit", NUMBERED, ids=lambda limit: limit.limit)
def test_each_number_is_that_of_the_code(limit: Limit) -> None:
    found = _NUMBER.fullmatch(limit.number)
    assert found is not None, limit.number
    assert int(found[1].replace(",", "")) * _UNITS[found[2]] == value_of(limit.where)


def test_each_limit_names_a_test_that_exists() -> None:
    assert len(LIMITS) > 40
    assert all("test_" in limit.test for limit in LIMITS)
    for path, name in named_tests(PAGE):
        assert path.exists(), path
        assert name is None or f"def {name}(" in path.read_text("utf-8"), f"{path}::{name}"


@pytest.mark.asyncio
async def test_a_report_lists_the_first_changes_and_counts_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event_id, run = uuid4(), uuid4()
    ended = SimpleNamespace(sync_id=run)
    outcome = SimpleNamespace(stream_id=event_id, version=1, hash=b"", event=ended)

    class Log:
        async def event(self, _: object) -> SimpleNamespace:
            return outcome

        async def read_stream(self, _: object, *, after: int) -> AsyncIterator[SimpleNamespace]:
            assert after == 0
            yield outcome

    class Builder:
        names: ClassVar[dict[str, str]] = {}

        def __init__(self, *_: object) -> None:
            pass

        def steps(self, _: object) -> list[SimpleNamespace]:
            return [SimpleNamespace(sync_id=run)] * (MAX_CHANGES + 7)

    monkeypatch.setattr(changes, "TimelineBuilder", Builder)
    monkeypatch.setattr(changes, "_change", lambda step, _: step)

    found = await ChangesOfRuns(cast("EventLog", Log())).of(event_id, run, "state")

    assert (len(found.first), found.total) == (MAX_CHANGES, MAX_CHANGES + 7)


def test_a_report_of_verify_lists_the_first_findings_and_counts_all() -> None:
    report = VerificationReport()
    for number in range(MAX_FINDINGS + 7):
        report.add(FindingKind.READ_MODEL, f"row {number}")

    assert len(report.findings) == MAX_FINDINGS
    assert report.found[FindingKind.READ_MODEL] == MAX_FINDINGS + 7
