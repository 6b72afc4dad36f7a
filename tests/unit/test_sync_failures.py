"""Sync failures: each code has a sentence for the organiser and a remedy."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest

from contracts import samples
from contracts.events import Source, SyncFailed
from contracts.failures import FailureCode
from tests.support.given import SOURCE
from worker.rules import sync_failures
from worker.rules.sync_failures import Removals, SyncFailure, sync_failed

REMOVALS = Removals(missing=21, unscheduled=3, outside=16, source_changed=True)

Make: TypeAlias = Callable[[], SyncFailure]
"""Makes a failure in the test itself, so that a changed text is noticed where it is tested."""
MAKERS: Sequence[Make] = (
    lambda: sync_failures.invalid_request("window.ends_on is before window.starts_on 2026-05-28"),
    lambda: sync_failures.wrong_organization(),
    lambda: sync_failures.invalid_api_id(),
    lambda: sync_failures.api_id_not_found(404),
    lambda: sync_failures.endpoint_not_json(200),
    lambda: sync_failures.endpoint_rejected(400),
    lambda: sync_failures.unexpected_document("Expected `object`"),
    lambda: sync_failures.schedule_empty(),
    lambda: sync_failures.schedule_not_announced(23),
    lambda: sync_failures.nothing_in_window(REMOVALS),
    lambda: sync_failures.schedule_replaced(REMOVALS),
    lambda: sync_failures.response_too_large(64 * 1024 * 1024),
    lambda: sync_failures.upstream_unavailable("the connection was lost"),
    lambda: sync_failures.superseded(),
    lambda: sync_failures.internal_error(),
)
every_failure = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make().code.value)


def made() -> list[SyncFailure]:
    return [make() for make in MAKERS]


def test_every_code_has_a_failure() -> None:
    assert {failure.code for failure in made()} == set(FailureCode)


@every_failure
def test_the_reason_and_the_remedy_are_sentences(make: Make) -> None:
    failure = make()
    for text in (failure.message, failure.remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert ".." not in text
        assert "  " not in text
        assert text == text.strip()


@every_failure
def test_messages_contain_no_jargon(make: Make) -> None:
    failure = make()
    for word in (" None", "Error", "Exception", "Traceback", failure.code.value):
        assert word not in failure.message + failure.remedy


@every_failure
def test_the_log_line_names_the_code(make: Make) -> None:
    failure = make()
    assert str(failure) == f"{failure.code}: {failure.message}"


def test_temporary_failures_are_retryable() -> None:
    assert {failure.code for failure in made() if failure.retryable} == {
        FailureCode.UNEXPECTED_DOCUMENT,
        FailureCode.UPSTREAM_UNAVAILABLE,
        FailureCode.INTERNAL_ERROR,
    }


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: sync_failures.api_id_not_found(410), 410),
        (lambda: sync_failures.unknown_to_the_stand_in(404), 404),
        (lambda: sync_failures.endpoint_not_json(200), 200),
        (lambda: sync_failures.endpoint_rejected(302), 302),
        (lambda: sync_failures.unexpected_document("?", 201), 201),
        (lambda: sync_failures.upstream_busy(429), 429),
        (lambda: sync_failures.upstream_busy(503, 3600), 503),
        (lambda: sync_failures.upstream_unavailable("?"), None),
        (lambda: sync_failures.schedule_empty(), None),
    ],
    ids=lambda value: value().code.value if callable(value) else "",
)
def test_the_http_status_is_kept_if_there_was_one(make: Make, status: int | None) -> None:
    failure = make()
    assert failure.http_status == status


def test_a_failure_may_have_its_own_remedy_and_be_worth_a_retry() -> None:
    failure = SyncFailure(FailureCode.SUPERSEDED, "Later.", "Wait.", retryable=True)

    assert (failure.remedy, failure.retryable) == ("Wait.", True)


@pytest.mark.parametrize("source", [None, SOURCE], ids=["no document", "a document"])
def test_the_event_of_a_failure_has_all_its_facts(source: Source | None) -> None:
    failure = sync_failures.unexpected_document("`rooms` is missing", 203)
    request = samples.REQUEST

    assert sync_failed(request, request.requested_at, failure, source) == SyncFailed(
        sync_id=request.request_id,
        organization_id=request.organization_id,
        spreaview_event_id=request.spreaview_event_id,
        ordered_at=request.requested_at,
        code="unexpected_document",
        message=failure.message,
        remedy=failure.remedy,
        retryable=True,
        http_status=203,
        source=source,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: sync_failures.invalid_request("window is missing"),
            "The sync request is not valid: window is missing.",
        ),
        (
            lambda: sync_failures.wrong_organization(),
            "The sync request is not valid: organization_id is not the organization that this "
            "event belongs to.",
        ),
        (lambda: sync_failures.invalid_api_id(), "The API ID is not a valid Sessionize API ID."),
        (lambda: sync_failures.api_id_not_found(404), "Sessionize does not know this API ID."),
        (
            lambda: sync_failures.unknown_to_the_stand_in(404),
            "The sandbox's stand-in for Sessionize does not know this API ID. Sessionize itself "
            "was not asked.",
        ),
        (
            lambda: sync_failures.endpoint_not_json(200),
            "The Sessionize endpoint does not answer with JSON.",
        ),
        (
            lambda: sync_failures.endpoint_rejected(403),
            "Sessionize refused to give the schedule (HTTP 403).",
        ),
        (
            lambda: sync_failures.unexpected_document("`rooms` is missing"),
            "Sessionize's answer is not a schedule: `rooms` is missing.",
        ),
        (lambda: sync_failures.schedule_empty(), "The Sessionize schedule contains no sessions."),
        (
            lambda: sync_failures.schedule_not_announced(23),
            "Sessionize lists 23 sessions, but none of them has a time: the schedule is not "
            "announced.",
        ),
        (
            lambda: sync_failures.nothing_in_window(Removals(0, 0, 40, source_changed=False)),
            "No session in Sessionize starts within the event's dates, so none of the 40 imported "
            "sessions would stay. Outside the dates: 40.",
        ),
        (
            lambda: sync_failures.schedule_replaced(REMOVALS),
            "None of the 40 imported sessions would stay in the schedule. Missing from the "
            "schedule: 21; without a time or a room: 3; outside the dates: 16. The API ID is not "
            "that of the last sync. It looks like the schedule of another event.",
        ),
        (
            lambda: sync_failures.response_too_large(64 * 1024 * 1024),
            "Sessionize's answer is larger than 64 MiB.",
        ),
        (
            lambda: sync_failures.upstream_unavailable("the connection was lost"),
            "Sessionize could not be reached: the connection was lost.",
        ),
        (
            lambda: sync_failures.upstream_too_slow(0.5),
            "Sessionize gave no complete answer within 0.5 seconds.",
        ),
        (lambda: sync_failures.upstream_busy(503), "Sessionize answered HTTP 503."),
        (
            lambda: sync_failures.upstream_busy(503, 119.5),
            "Sessionize answered HTTP 503 and asked to wait 120 seconds.",
        ),
        (
            lambda: sync_failures.upstream_busy(429, 3600),
            "Sessionize answered HTTP 429 and asked to wait 60 minutes.",
        ),
        (
            lambda: sync_failures.upstream_busy(429, math.inf),
            "Sessionize answered HTTP 429 and asked to wait more than a day.",
        ),
        (lambda: sync_failures.superseded(), "A later sync of this event has completed already."),
        (
            lambda: sync_failures.internal_error(),
            "The import failed because of an internal error.",
        ),
        (
            lambda: sync_failures.internal_error("the stream has no end"),
            "The import failed because of an internal error: the stream has no end.",
        ),
    ],
    ids=lambda value: value().code.value if callable(value) else "",
)
def test_the_message_names_the_exact_problem(make: Make, message: str) -> None:
    failure = make()
    assert failure.message == message


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (
            lambda: sync_failures.unknown_to_the_stand_in(404),
            "Use the API ID demo2026. To import from Sessionize itself, stop spreaview-sync up "
            "and start it again with "
            "SPREAVIEW_SESSIONIZE_BASE_URL=https://sessionize.com/api/v2",
        ),
        (
            lambda: sync_failures.nothing_in_window(REMOVALS._replace(source_changed=False)),
            "Compare the dates of the event in SpreaView, above all the year, with the schedule "
            "in Sessionize. If the schedule should really be empty, sync again and confirm 40 "
            "removals (allow_removals: 40). What was imported before is kept.",
        ),
        (
            lambda: sync_failures.nothing_in_window(REMOVALS),
            "Compare the dates of the event in SpreaView, above all the year, with the schedule "
            "in Sessionize, and check the API ID. If the schedule should really be empty, sync "
            "again and confirm 40 removals (allow_removals: 40). What was imported before is "
            "kept.",
        ),
        (
            lambda: sync_failures.schedule_replaced(REMOVALS),
            "Check the API ID, the dates, and the times and rooms in Sessionize. If all of them "
            "should really be removed, sync again and confirm 40 removals (allow_removals: 40). "
            "What was imported before is kept.",
        ),
        (
            lambda: sync_failures.upstream_busy(429),
            "Sync again in a few minutes. What was imported before is kept.",
        ),
        (
            lambda: sync_failures.upstream_busy(429, 3600),
            "Sync again after that time. What was imported before is kept.",
        ),
    ],
    ids=["stand-in", "dates", "dates and API ID", "replaced", "busy", "busy for long"],
)
def test_the_remedy_follows_from_the_cause(make: Make, remedy: str) -> None:
    failure = make()
    assert failure.remedy == remedy


@pytest.mark.parametrize(
    "make",
    [
        lambda: sync_failures.schedule_empty(),
        lambda: sync_failures.schedule_not_announced(3),
        lambda: sync_failures.upstream_unavailable("?"),
    ],
    ids=lambda make: make().code.value,
)
def test_the_remedy_states_that_the_schedule_is_kept(make: Make) -> None:
    failure = make()
    assert "What was imported before is kept." in failure.remedy


def test_another_event_is_suspected_only_if_sessions_are_missing() -> None:
    there = REMOVALS._replace(missing=0)

    assert "another event" in sync_failures.schedule_replaced(REMOVALS).message
    assert "another event" not in sync_failures.schedule_replaced(there).message
