"""The words of the page."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from audit.http.models import ChangedField, EntityChange
from audit.http.page.grid import COLUMNS, chart_of
from audit.http.page.words import counts_to_show, day, fields_to_show, sentence, shown_in, total
from audit.words import reason
from contracts.events import Counts


def test_a_date_has_its_weekday() -> None:
    assert day(date(2026, 5, 28)) == day("2026-05-28") == "Thursday 28 May 2026"


@pytest.mark.parametrize(
    ("given", "clause"),
    [
        ("before_window", "it starts before the event's first day"),
        (
            "unscheduled, missing: starts_at, room",
            "it has no time or no room yet: missing start, room",
        ),
        ("a reason of a later version", "a reason of a later version"),
        (None, ""),
    ],
)
def test_a_reason_is_a_clause(given: str | None, clause: str) -> None:
    assert reason(given) == clause


def test_a_sentence_keeps_the_case_of_names() -> None:
    assert sentence(reason("missing_from_source")) == "It is gone from Sessionize"


def test_a_time_names_its_zone() -> None:
    moment = datetime(2026, 5, 28, 8, tzinfo=UTC)
    assert shown_in(moment, "Europe/Vienna") == "2026-05-28 10:00 (Europe/Vienna)"
    assert shown_in(moment, None) == "2026-05-28 08:00 (UTC)"
    assert shown_in(None, None) == "–"


def test_counts_that_are_zero_everywhere_are_left_out() -> None:
    counts = {"sessions": {"added": 0, "unchanged": 3}, "rooms": {"updated": 1, "left": 4}}
    assert counts_to_show(counts) == ["updated", "unchanged"]


def test_every_count_of_a_sync_is_shown() -> None:
    among_others = {"left"}
    for name in set(Counts.__struct_fields__) - among_others:
        assert counts_to_show({"sessions": {name: 1}}) == [name]


def test_the_history_counts_what_its_chart_shows() -> None:
    counts = {"sessions": dict.fromkeys(Counts.__struct_fields__, 1)}
    (bar,) = chart_of([counts], [""])
    columns = {column: total(counts["sessions"], names) for column, names in COLUMNS}
    assert [columns["Added"], columns["Updated"]] == [2, 2]
    assert columns["Skipped"] + columns["Withdrawn"] == 2
    sizes = [size for _, _, size in bar.parts]
    assert len(set(sizes)) == 1


def test_a_skipped_session_shows_only_what_changed() -> None:
    change = EntityChange(
        position=1,
        kind="session",
        id=UUID(int=1),
        sessionize_id="7",
        name="Opening",
        change="skipped",
        reason="before_window",
        fields={
            "title": ChangedField(old="Keynote", new="Opening"),
            "starts_at": ChangedField(old=None, new="2026-05-27T07:00:00Z"),
            "window_starts_at": ChangedField(
                old="2026-05-27T22:00:00Z", new="2026-05-28T22:00:00Z"
            ),
        },
    )
    assert [name for name, _ in fields_to_show(change)] == ["title"]
