"""Refusals: every code with a sentence for the organiser and the remedy."""

import pytest

from contracts.failures import FailureCode
from worker.rules import sync_failures
from worker.rules.sync_failures import SyncFailure

REFUSALS = (
    sync_failures.invalid_request("window.ends_on is before window.starts_on 2026-05-28"),
    sync_failures.wrong_organization(),
    sync_failures.invalid_api_id(),
    sync_failures.api_id_not_found(404),
    sync_failures.endpoint_not_json(200),
    sync_failures.endpoint_rejected(400),
    sync_failures.unexpected_document("Expected `object`"),
    sync_failures.schedule_empty(),
    sync_failures.schedule_not_announced(23),
    sync_failures.schedule_replaced(40),
    sync_failures.response_too_large(64 * 1024 * 1024),
    sync_failures.upstream_unavailable("it answered HTTP 503", 503),
    sync_failures.superseded(),
    sync_failures.internal_error(),
)
every_refusal = pytest.mark.parametrize("refused", REFUSALS, ids=lambda r: r.code.value)


def test_every_code_has_its_words() -> None:
    assert {refused.code for refused in REFUSALS} == set(FailureCode)


@every_refusal
def test_the_reason_and_the_remedy_are_sentences(refused: SyncFailure) -> None:
    for text in (refused.message, refused.remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert ".." not in text
        assert "  " not in text
        assert text == text.strip()


@every_refusal
def test_the_words_are_for_people(refused: SyncFailure) -> None:
    for word in (" None", "Error", "Exception", "Traceback", refused.code.value):
        assert word not in refused.message + refused.remedy


@every_refusal
def test_the_log_line_names_the_code(refused: SyncFailure) -> None:
    assert str(refused) == f"{refused.code}: {refused.message}"


def test_what_may_pass_by_itself_is_retryable() -> None:
    assert {refused.code for refused in REFUSALS if refused.retryable} == {
        FailureCode.UNEXPECTED_DOCUMENT,
        FailureCode.UPSTREAM_UNAVAILABLE,
        FailureCode.INTERNAL_ERROR,
    }


@pytest.mark.parametrize(
    ("refused", "status"),
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
def test_the_http_status_is_kept_if_there_was_one(refused: SyncFailure, status: int | None) -> None:
    assert refused.http_status == status


@pytest.mark.parametrize(
    ("refused", "detail"),
    [
        (sync_failures.invalid_request("window is missing"), "window is missing"),
        (sync_failures.wrong_organization(), "organization_id"),
        (sync_failures.endpoint_rejected(403), "HTTP 403"),
        (sync_failures.unexpected_document("`rooms` is missing"), "`rooms` is missing"),
        (sync_failures.schedule_not_announced(23), "23 sessions"),
        (sync_failures.schedule_replaced(40), "None of the 40 imported sessions"),
        (sync_failures.response_too_large(64 * 1024 * 1024), "64 MiB"),
        (sync_failures.upstream_unavailable("it took too long"), "it took too long"),
    ],
    ids=lambda value: value.code.value if isinstance(value, SyncFailure) else "",
)
def test_the_message_says_precisely_what_is_wrong(refused: SyncFailure, detail: str) -> None:
    assert detail in refused.message


@pytest.mark.parametrize(
    "refused",
    [
        sync_failures.schedule_empty(),
        sync_failures.schedule_not_announced(3),
        sync_failures.upstream_unavailable("?"),
    ],
    ids=lambda r: r.code.value,
)
def test_who_fears_for_the_schedule_is_told_that_it_is_kept(refused: SyncFailure) -> None:
    assert "What was imported before is kept." in refused.remedy
