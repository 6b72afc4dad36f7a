"""Skips: outside the window, not scheduled yet; emitted when their facts change."""

from datetime import UTC, datetime

import msgspec
import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import (
    ImportEvent,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
)
from contracts.messages import Window
from tests.support.documents import WINDOW, days, document, room, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, given

STAYS = talk("1")
BEFORE = talk("2", "2026-05-27T10:00:00")
AFTER = talk("2", "2026-05-30T10:00:00")
LATER = days(29, 30)


def test_a_session_outside_the_window_is_skipped_with_both_bounds() -> None:
    outcome = given().when(document(STAYS, BEFORE))

    assert outcome.the(SessionSkippedOutOfWindow) == SessionSkippedOutOfWindow(
        sync_id=given().command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        session_id=identity.session_id(EVENT, "2"),
        sessionize_id="2",
        title="Talk 2",
        starts_at=datetime(2026, 5, 27, 8, tzinfo=UTC),
        ends_at=datetime(2026, 5, 27, 8, 45, tzinfo=UTC),
        reason="before_window",
        window_starts_at=datetime(2026, 5, 27, 22, tzinfo=UTC),
        window_ends_at=datetime(2026, 5, 29, 22, tzinfo=UTC),
        was_imported=False,
    )
    assert outcome.completed.counts.sessions.skipped == 1


@pytest.mark.parametrize(
    ("at", "until", "expected"),
    [
        ("2026-05-27T23:59:59", "2026-05-28T01:00:00", "SessionSkippedOutOfWindow 2 before_window"),
        ("2026-05-28T00:00:00", "2026-05-28T01:00:00", "SessionImported 2 added"),
        ("2026-05-29T23:59:59", "2026-05-31T01:00:00", "SessionImported 2 added"),
        ("2026-05-30T00:00:00", "2026-05-30T01:00:00", "SessionSkippedOutOfWindow 2 after_window"),
        # The same edges by the clock of UTC, two hours behind.
        ("2026-05-27T21:59:59Z", "2026-05-28T09:00:00Z", "SessionSkippedOutOfWindow 2 before_"),
        ("2026-05-27T22:00:00Z", "2026-05-28T09:00:00Z", "SessionImported 2 added"),
        ("2026-05-29T22:00:00Z", "2026-05-30T09:00:00Z", "SessionSkippedOutOfWindow 2 after_"),
    ],
)
def test_a_session_belongs_to_the_window_in_which_it_starts(
    at: str, until: str, expected: str
) -> None:
    changes = given().when(document(STAYS, talk("2", at, until))).changes

    assert any(line.startswith(expected) for line in changes), changes


@pytest.mark.parametrize(
    ("session", "missing"),
    [
        pytest.param(unscheduled("2"), ("starts_at", "ends_at", "room"), id="all"),
        pytest.param(talk("2", room=None), ("room",), id="room"),
        pytest.param(talk("2") | {"startsAt": None}, ("starts_at",), id="start"),
        pytest.param(talk("2") | {"endsAt": None}, ("ends_at",), id="end"),
    ],
)
def test_a_session_without_time_or_room_is_skipped_with_the_missing_fields(
    session: JsonObject, missing: tuple[str, ...]
) -> None:
    outcome = given().when(document(STAYS, session))

    skip = outcome.the(SessionSkippedUnscheduled)
    assert skip.missing == missing
    assert not skip.was_imported
    assert outcome.completed.counts.sessions.skipped == 1


def test_a_session_outside_the_window_is_skipped_for_that_even_if_unscheduled() -> None:
    roomless = talk("2", "2026-05-30T10:00:00", room=None) | {"endsAt": None}
    outcome = given().when(document(STAYS, roomless))

    assert "SessionSkippedOutOfWindow 2 after_window" in outcome.changes
    assert outcome.the(SessionSkippedOutOfWindow).ends_at is None


@pytest.mark.parametrize("skipped", [unscheduled("2"), BEFORE, AFTER, talk("2", room=None)])
def test_a_skip_is_emitted_once_and_counted_every_time(skipped: JsonObject) -> None:
    source = document(STAYS, skipped)
    outcome = given(source, source).when(source)

    assert outcome.changes == []
    assert outcome.completed.counts.sessions.skipped == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(BEFORE, AFTER, id="reason"),
        pytest.param(AFTER, talk("2", "2026-05-30T11:00:00"), id="time"),
        pytest.param(AFTER, AFTER | {"endsAt": "2026-05-30T12:00:00"}, id="end"),
        pytest.param(AFTER, AFTER | {"title": "Renamed"}, id="title"),
        pytest.param(AFTER, unscheduled("2"), id="kind"),
        pytest.param(unscheduled("2"), talk("2", room=None), id="missing"),
    ],
)
def test_a_skip_is_emitted_again_when_its_facts_change(
    before: JsonObject, after: JsonObject
) -> None:
    outcome = given(document(STAYS, before)).when(document(STAYS, after))

    assert [line.split(" ")[0][:14] for line in outcome.changes] == ["SessionSkipped"]


@pytest.mark.parametrize("window", [days(28, 30), days(27, 29), days(28, 29, "Europe/London")])
def test_the_bounds_of_the_window_are_facts_of_a_skip(window: Window) -> None:
    source = document(STAYS, talk("2", "2026-06-07T10:00:00"))

    assert given(source).when(source, window).changes[-1:] == [
        "SessionSkippedOutOfWindow 2 after_window"
    ]


@pytest.mark.parametrize(
    "twins",
    [
        (talk("1", "2026-06-02T09:00:00", title="A"), talk("1", "2026-06-02T10:00:00", title="B")),
        (unscheduled("1", title="A"), unscheduled("1", title="B")),
    ],
    ids=["outside", "unscheduled"],
)
def test_a_skipped_session_that_is_listed_twice_is_unchanged_in_any_order(
    twins: tuple[JsonObject, JsonObject],
) -> None:
    history = given(document(talk("9"), *twins))

    for order in (reversed(twins), twins):
        source = document(talk("9"), *order)
        assert history.when(source).changes == []
        history = history.after(source)


@pytest.mark.parametrize("skipped", [unscheduled("2"), BEFORE])
def test_a_skipped_session_that_finds_its_place_is_added(skipped: JsonObject) -> None:
    scheduled = document(STAYS, talk("2", "2026-05-29T10:00:00"))
    past = given(document(STAYS, skipped))

    assert past.when(scheduled).changes == ["SessionImported 2 added"]
    assert past.after(scheduled).state.skipped == {}


def test_a_missing_skipped_session_ends_its_skip() -> None:
    source = document(STAYS)
    past = given(document(STAYS, unscheduled("2")))

    assert past.when(source).changes == ["SessionWithdrawn 2 missing_from_source"]
    assert past.after(source).when(source).changes == []


@pytest.mark.parametrize(
    ("skipped", "line"),
    [
        (
            unscheduled("2"),
            "SessionSkippedUnscheduled 2: starts_at, ends_at, room, was imported",
        ),
        (AFTER, "SessionSkippedOutOfWindow 2 after_window, was imported"),
    ],
)
def test_an_imported_session_leaves_the_schedule_by_its_skip_and_comes_back(
    skipped: JsonObject, line: str
) -> None:
    scheduled = document(STAYS, talk("2", "2026-05-29T10:00:00"))
    past = given(scheduled)
    outcome = past.when(document(STAYS, skipped))

    assert outcome.changes == [line]
    assert outcome.completed.counts.sessions.withdrawn == 0
    past = past.after(document(STAYS, skipped))
    assert past.when(document(STAYS, skipped)).changes == []
    assert past.when(scheduled).changes == ["SessionImported 2 restored"]


def test_a_session_that_left_is_no_longer_imported_for_its_next_skip() -> None:
    past = given(document(STAYS, talk("2", "2026-05-29T10:00:00")), document(STAYS, AFTER))

    assert past.when(document(STAYS, BEFORE)).changes == [
        "SessionSkippedOutOfWindow 2 before_window"
    ]


def test_a_moved_window_takes_sessions_out_and_brings_them_back_with_their_code() -> None:
    source = document(STAYS, talk("2", "2026-05-29T10:00:00"), rooms=[room(7)])
    past = given(source)
    code = past.state.sessions["1"].session_code

    assert past.when(source, LATER).changes == [
        "SessionSkippedOutOfWindow 1 before_window, was imported"
    ]
    outcome = past.after(source, LATER).when(source, WINDOW)
    assert outcome.changes == ["SessionImported 1 restored"]
    assert outcome.the(SessionImported).session_code == code


def test_a_skip_stored_by_an_older_text_rule_is_not_emitted_again() -> None:
    def untidy(event: ImportEvent) -> ImportEvent:
        if not isinstance(event, SessionSkippedUnscheduled):
            return event
        return msgspec.structs.replace(event, title="Talk\u200b\u20282 ")

    source = document(STAYS, unscheduled("2"))
    assert given(source).edited(untidy).when(source).changes == []
