"""Retries: each change of state is logged once for all callers."""

import asyncio
from collections.abc import Callable

import pytest

from messaging import backoff
from messaging.backoff import is_failing, log_failing, log_working, retry_until_success

pytestmark = pytest.mark.asyncio

FAILING = "the server is failing; retrying until it succeeds: away"
WORKING = "the server works again"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(backoff, "_failing", {})
    caplog.set_level("INFO")


class Work:
    """Fails until it is mended."""

    def __init__(self) -> None:
        self.tries = 0
        self.is_mended = False

    async def __call__(self) -> int:
        self.tries += 1
        if not self.is_mended:
            raise OSError("away")
        return self.tries

    async def retried(self) -> int:
        return await retry_until_success(
            "the server",
            self,
            on=lambda error: isinstance(error, OSError),
            first_wait=0.001,
            longest_wait=0.002,
        )


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_an_operation_works_again_when_it_has_succeeded_for_every_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = Work(), Work()
    retries = [asyncio.ensure_future(work.retried()) for work in (one, other)]
    await until(lambda: one.tries > 1 and other.tries > 1)
    one.is_mended = True
    await retries[0]
    assert caplog.messages == [FAILING]
    assert is_failing("the server")
    other.is_mended = True
    await retries[1]
    assert caplog.messages == [FAILING, WORKING]
    assert not is_failing("the server")


async def test_a_check_that_succeeds_does_not_report_that_a_failing_operation_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As on a full disk: PostgreSQL answers the check, and refuses the work."""
    work = Work()
    retry = asyncio.ensure_future(work.retried())
    await until(lambda: work.tries > 1)
    log_working("the server", operation="health")
    assert is_failing("the server", besides="health")
    tries = work.tries
    await until(lambda: work.tries > tries)
    assert caplog.messages == [FAILING]
    work.is_mended = True
    await retry
    assert caplog.messages == [FAILING, WORKING]


async def test_a_cancelled_retry_is_forgotten() -> None:
    work = Work()
    retry = asyncio.ensure_future(work.retried())
    await until(lambda: work.tries > 1)
    log_failing("the server", "away", operation="health")
    retry.cancel()
    await asyncio.gather(retry, return_exceptions=True)
    assert not is_failing("the server", besides="health")
    assert is_failing("the server")
