"""Instants in JSON: UTC with `Z`, from one function."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.options import date_argument
from contracts.instants import column_in_utc, in_zone, utc_text

ROOT = Path(date_argument.__code__.co_filename).parents[1]
PACKAGES = ("cli", "audit", "projections", "worker", "eventstore", "messaging", "contracts")
OTHERS = {
    "contracts/instants.py",
    "cli/render/times.py",  # tables, in the zone of the event
    "cli/sandbox/conference.py",  # a document of Sessionize
    "projections/http/reading.py",  # local times, which have the offset of the event
    "audit/transfer/export.py",  # the form of an export, which stays as it is
}


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 5, 28, 7, tzinfo=UTC), "2026-05-28T07:00:00Z"),
        (datetime(2026, 5, 28, 9, tzinfo=timezone(timedelta(hours=2))), "2026-05-28T07:00:00Z"),
        (datetime(2026, 5, 28, 7, 0, 0, 120, tzinfo=UTC), "2026-05-28T07:00:00.000120Z"),
    ],
)
def test_an_instant_is_utc_with_z(instant: datetime, text: str) -> None:
    assert utc_text(instant) == text
    assert datetime.fromisoformat(text) == instant


def test_only_the_columns_of_instants_are_converted() -> None:
    assert column_in_utc("starts_at", "2026-05-28T09:00:00+02:00") == "2026-05-28T07:00:00Z"
    assert column_in_utc("starts_at", None) is None
    assert column_in_utc("title", "2026-05-28T09:00:00+02:00") == "2026-05-28T09:00:00+02:00"


def test_no_other_module_spells_an_instant() -> None:
    spelling = re.compile(r"\.isoformat\(|str\([\w.]+_at\)")
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if spelling.search(path.read_text("utf-8"))
    }
    assert found == OTHERS


@pytest.mark.parametrize(
    ("text", "zone", "shown"),
    [
        ("2026-05-28T07:00:00+00:00", "Europe/Vienna", "2026-05-28T09:00:00+02:00"),
        ("9999-12-31T23:59:59+00:00", "Europe/Vienna", "9999-12-31T23:59:59+00:00"),
        ("0001-01-01T00:00:00+00:00", "America/New_York", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_an_instant_that_a_zone_does_not_have_is_shown_in_utc(
    text: str, zone: str, shown: str
) -> None:
    assert in_zone(datetime.fromisoformat(text), ZoneInfo(zone)).isoformat() == shown
