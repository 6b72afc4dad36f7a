"""The words of the page."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from audit.http.models import ChangedField, EntityChange
from audit.http.page.words import counts_to_show, day, fields_to_show, reason, sentence, shown_in


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
