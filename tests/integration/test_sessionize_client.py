"""Fetching from Sessionize: limits, retries, and a distinct code for each kind of answer."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from cli.connections import http_client
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import Double, sessionize_double
from worker.rules.sync_failures import SyncFailure
from worker.source.sessionize import Fetched, FetchLimits, Sessionize

pytestmark = pytest.mark.asyncio

BODY = b'{"sessions": [], "speakers": [], "rooms": []}'
LIMITS = FetchLimits(max_bytes=100_000, attempt_seconds=5, attempts=2, longest_wait_seconds=1)


@pytest_asyncio.fixture
async def double() -> AsyncIterator[Double]:
    async with sessionize_double(Documents()) as double:
        yield double


async def fetch(base_url: str, api_id: str, limits: FetchLimits = LIMITS) -> Fetched:
    async with http_client("1.2.3") as client:
        clock = lambda: datetime.now(UTC)  # noqa: E731
        return await Sessionize(client, base_url, limits, clock).fetch(api_id, 0.0)


async def failure_of(base_url: str, api_id: str) -> SyncFailure:
    with pytest.raises(SyncFailure) as raised:
        await fetch(base_url, api_id)
    return raised.value


async def test_the_body_is_returned_byte_for_byte_with_its_digest(double: Double) -> None:
    double.serve("fetched1", b"\xef\xbb\xbf" + BODY)
    fetched = await fetch(double.base_url, "fetched1")
    assert fetched.body == b"\xef\xbb\xbf" + BODY
    assert fetched.source.size_bytes == len(fetched.body)
    assert double.requests[-1].headers["user-agent"].startswith("spreaview-sync/1.2.3")


async def test_a_compressed_body_is_decoded(double: Double) -> None:
    double.serve("gzipped1", gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    assert (await fetch(double.base_url, "gzipped1")).body == BODY


@pytest.mark.parametrize(
    ("status", "code", "retryable", "asked"),
    [
        (404, "api_id_not_found", False, 1),
        (410, "api_id_not_found", False, 1),
        (400, "endpoint_rejected", False, 1),
        (401, "endpoint_rejected", False, 1),
        (403, "endpoint_rejected", False, 1),
        (301, "endpoint_rejected", False, 1),
        (204, "endpoint_rejected", False, 1),
        (429, "upstream_unavailable", True, 2),
        (500, "upstream_unavailable", True, 2),
        (503, "upstream_unavailable", True, 2),
    ],
)
async def test_each_status_has_its_code_and_only_temporary_ones_are_retried(
    double: Double, status: int, code: str, retryable: bool, asked: int
) -> None:
    headers = {"Location": "http://elsewhere.example/"} if status == 301 else {}
    double.serve("statuses", b"" if status == 204 else b"no", status=status, headers=headers)
    failure = await failure_of(double.base_url, "statuses")
    assert (failure.code, failure.http_status, failure.retryable) == (code, status, retryable)
    assert len(double.requests) == asked


async def test_a_retry_after_beyond_the_limit_ends_the_run_immediately(double: Double) -> None:
    double.serve("retrylate", b"", status=429, headers={"Retry-After": "3600"})
    assert (await failure_of(double.base_url, "retrylate")).code == "upstream_unavailable"
    assert len(double.requests) == 1


async def test_a_retry_after_is_honoured(double: Double) -> None:
    double.serve("retrysoon", b"", status=503, headers={"Retry-After": "0"})
    assert (await failure_of(double.base_url, "retrysoon")).code == "upstream_unavailable"
    assert len(double.requests) == 2


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_larger_than_the_limit_is_refused(double: Double, compressed: bool) -> None:
    body = b" " * 1_000_000
    if compressed:
        double.serve("toolarge", gzip.compress(body), headers={"Content-Encoding": "gzip"})
    else:
        double.serve("toolarge", body)
    assert (await failure_of(double.base_url, "toolarge")).code == "response_too_large"


async def test_an_unreachable_host_is_unavailable_and_the_api_id_is_not_disclosed() -> None:
    failure = await failure_of("http://127.0.0.1:9", "secretid")
    assert failure.code == "upstream_unavailable"
    assert "secretid" not in failure.message + failure.remedy


@pytest.mark.parametrize("api_id", ["../admin", "a/b", "a?b", "ünïcödé1", "", "evil.example"])
async def test_an_api_id_becomes_neither_host_nor_path(double: Double, api_id: str) -> None:
    assert (await failure_of(double.base_url, api_id)).code == "invalid_api_id"
    assert not double.requests
