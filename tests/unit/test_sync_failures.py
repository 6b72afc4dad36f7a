"""Sync failures: each code has a sentence for the organiser and a remedy."""

import pytest

from contracts.failures import FailureCode
from worker.rules import sync_failures
from worker.rules.sync_failures import Removals, SyncFailure

REMOVALS = Removals(missing=21, unscheduled=3, outside=16, source_changed=True)

FAILURES = (
    sync_failures.invalid_request("window.ends_on is before window.starts_on 2026-05-28"),
    sync_failures.wrong_organization(),
    sync_failures.invalid_api_id(),
    sync_failures.api_id_not_found(404),
    sync_failures.endpoint_not_json(200),
    sync_failures.endpoint_rejected(400),
    sync_failures.unexpected_document("Expected `object`"),
    sync_failures.schedule_empty(),
    sync_failures.schedule_not_announced(23),
    sync_failures.nothing_in_window(REMOVALS),
    sync_failures.schedule_replaced(REMOVALS),
    sync_failures.response_too_large(64 * 1024 * 1024),
    sync_failures.upstream_unavailable("it answered HTTP 503", 503),
    sync_failures.superseded(),
    sync_failures.internal_error(),
)
every_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda r: r.code.value)


def test_every_code_has_a_failure() -> None:
    assert {failure.code for failure in FAILURES} == set(FailureCode)


@every_failure
def test_the_reason_and_the_remedy_are_sentences(failure: SyncFailure) -> None:
    for text in (failure.message, failure.remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert ".." not in text
        assert "  " not in text
        assert text == text.strip()


@every_failure
def test_messages_contain_no_jargon(failure: SyncFailure) -> None:
    for word in (" None", "Error", "Exception", "Traceback", failure.code.value):
        assert word not in failure.message + failure.remedy


@every_failure
def test_the_log_line_names_the_code(failure: SyncFailure) -> None:
    assert str(failure) == f"{failure.code}: {failure.message}"


def test_temporary_failures_are_retryable() -> None:
    assert {failure.code for failure in FAILURES if failure.retryable} == {
        FailureCode.UNEXPECTED_DOCUMENT,
        FailureCode.UPSTREAM_UNAVAILABLE,
        FailureCode.INTERNAL_ERROR,
    }


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (sync_failures.api_id_not_found(410), 410),
        (sync_failures.endpoint_not_json(200), 200),
        (sync_failures.endpoint_rejected(302), 302),
        (sync_failures.unexpected_document("?", 201), 201),
        (sync_failures.upstream_unavailable("?", 429), 429),
        (sync_failures.upstream_unavailable("?"), None),
        (sync_failures.schedule_empty(), None),
    ],
    ids=lambda value: value.code.value if isinstance(value, SyncFailure) else "",
)
def test_the_http_status_is_kept_if_there_was_one(failure: SyncFailure, status: int | None) -> None:
    assert failure.http_status == status


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (sync_failures.invalid_request("window is missing"), "window is missing"),
        (sync_failures.wrong_organization(), "organization_id"),
        (sync_failures.endpoint_rejected(403), "HTTP 403"),
        (sync_failures.unexpected_document("`rooms` is missing"), "`rooms` is missing"),
        (sync_failures.schedule_not_announced(23), "23 sessions"),
        (sync_failures.nothing_in_window(REMOVALS), "none of the 40 imported sessions"),
        (sync_failures.nothing_in_window(REMOVALS), "outside the dates: 16"),
        (sync_failures.schedule_replaced(REMOVALS), "None of the 40 imported sessions"),
        (sync_failures.schedule_replaced(REMOVALS), "Missing from the schedule: 21"),
        (sync_failures.schedule_replaced(REMOVALS), "without a time or a room: 3"),
        (sync_failures.schedule_replaced(REMOVALS), "The API ID is not that of the last sync"),
        (sync_failures.response_too_large(64 * 1024 * 1024), "64 MiB"),
        (sync_failures.upstream_unavailable("it took too long"), "it took too long"),
    ],
    ids=lambda value: value.code.value if isinstance(value, SyncFailure) else "",
)
def test_the_message_names_the_exact_problem(failure: SyncFailure, detail: str) -> None:
    assert detail in failure.message


@pytest.mark.parametrize(
    "failure",
    [
        sync_failures.schedule_empty(),
        sync_failures.schedule_not_announced(3),
        sync_failures.upstream_unavailable("?"),
    ],
    ids=lambda r: r.code.value,
)
def test_the_remedy_states_that_the_schedule_is_kept(failure: SyncFailure) -> None:
    assert "What was imported before is kept." in failure.remedy


def test_another_event_is_suspected_only_if_sessions_are_missing() -> None:
    there = REMOVALS._replace(missing=0)

    assert "another event" in sync_failures.schedule_replaced(REMOVALS).message
    assert "another event" not in sync_failures.schedule_replaced(there).message
