"""Fetching again: after a passing error, after `Retry-After`, and with validators."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.support.first_import import (
    API_ID,
    CUT_OFF,
    GOOD,
    NOW,
    SHORT_LENGTH,
    SLACK_SECONDS,
    TWO_ATTEMPTS,
    assert_failed,
    fetching,
    headed,
    import_first,
    import_from,
    schedule,
)
from tests.support.sessionize.answers import Answer, page
from tests.support.sessionize.double import Double

pytestmark = pytest.mark.asyncio


async def test_an_error_that_passes_does_not_fail_the_run(double: Double) -> None:
    double.documents.put(API_ID, page(503, "Busy"), schedule(GOOD))

    run = await import_from(double.base_url, TWO_ATTEMPTS)

    assert run.sessions == ["1", "2"]
    assert len(double.requests) == 2


async def test_a_connection_that_breaks_off_once_does_not_fail_the_run(double: Double) -> None:
    double.documents.put(API_ID, CUT_OFF, schedule(GOOD))

    assert (await import_from(double.base_url, TWO_ATTEMPTS)).sessions == ["1", "2"]


async def test_an_error_that_stays_fails_the_run_after_the_last_attempt(double: Double) -> None:
    double.documents.put(API_ID, page(503, "Busy"))

    run = await import_from(double.base_url, TWO_ATTEMPTS)

    assert_failed(run.failed, "upstream_unavailable", 503, double.base_url)
    assert len(double.requests) == 2


@pytest.mark.parametrize("when", ["2", format_datetime(NOW + timedelta(seconds=2), usegmt=True)])
async def test_the_next_attempt_waits_for_retry_after(double: Double, when: str) -> None:
    double.documents.put(API_ID, headed(429, Retry_After=when), schedule(GOOD))

    run = await import_from(double.base_url, TWO_ATTEMPTS)

    assert run.sessions == ["1", "2"]
    assert 2.0 <= run.seconds < 2.0 + SLACK_SECONDS
    assert len(double.requests) == 2


async def test_a_wrong_length_does_not_damage_the_next_answer(double: Double) -> None:
    double.documents.put(API_ID, SHORT_LENGTH, schedule(GOOD))

    async with fetching(double.base_url, TWO_ATTEMPTS) as sessionize:
        assert (await import_first(sessionize)).failed.code == "unexpected_document"
        assert (await import_first(sessionize)).sessions == ["1", "2"]


async def test_an_unchanged_schedule_is_fetched_with_its_validators(double: Double) -> None:
    double.documents.put(
        API_ID, schedule(GOOD, headers={"ETag": '"v1"'}), Answer(b"", 304, headers={"ETag": '"v1"'})
    )

    async with fetching(double.base_url) as sessionize:
        first, second = await import_first(sessionize), await import_first(sessionize)

    assert first.sessions == second.sessions == ["1", "2"]
    assert first.completed.source.digest == second.completed.source.digest
    assert double.requests[-1].headers["if-none-match"] == '"v1"'
