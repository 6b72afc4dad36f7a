"""Fetching from Sessionize: limits, retries, and a distinct code for each kind of answer."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from cli import connections
from cli.connections import http_client
from cli.errors import CommandError
from tests.support.certificates import Authority, Certificate
from tests.support.ports import free_port, full_queue
from tests.support.sessionize.answers import Delivery, Documents
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


@asynccontextmanager
async def fetching(base_url: str, limits: FetchLimits = LIMITS) -> AsyncIterator[Sessionize]:
    async with http_client("1.2.3") as client:
        yield Sessionize(client, base_url, limits, lambda: datetime.now(UTC))


async def fetch(base_url: str, api_id: str, limits: FetchLimits = LIMITS) -> Fetched:
    async with fetching(base_url, limits) as sessionize:
        return await sessionize.fetch(api_id, 0.0)


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


@pytest.mark.parametrize(
    "when",
    ["Wed, 21 Oct 2015 07:28:00 +99999999999999999999", "Wed, 21 Oct 2015 é", "later", "-1"],
)
async def test_a_retry_after_that_cannot_be_read_is_ignored(double: Double, when: str) -> None:
    headers = {"Retry-After": when.encode().decode("latin-1")}
    double.serve("retryodd1", b"", status=503, headers=headers)
    assert (await failure_of(double.base_url, "retryodd1")).code == "upstream_unavailable"
    assert len(double.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v\xe9"'},
        {"ETag": '"v1"', "Last-Modified": "\xff"},
        {"ETag": '"a\tb"'},
        {"Set-Cookie": "a=\xe9; Path=/"},
        {"Set-Cookie": "a=b; Path=/"},
    ],
    ids=str,
)
async def test_no_header_of_an_answer_spoils_the_next_fetch(
    double: Double, headers: dict[str, str]
) -> None:
    double.serve("headers1", BODY, headers=headers)
    async with fetching(double.base_url) as sessionize:
        for _ in range(2):
            assert (await sessionize.fetch("headers1", time.monotonic())).body == BODY
    assert not {"cookie", "if-none-match", "if-modified-since"} & set(double.requests[-1].headers)
    assert len(double.requests) == 2


@pytest.mark.parametrize("location", ["javascript:secret", "http://[::1", "http://x" + "x" * 70000])
async def test_a_redirect_is_refused_wherever_it_leads(double: Double, location: str) -> None:
    double.serve("redirect1", b"", status=302, headers={"Location": location})
    failure = await failure_of(double.base_url, "redirect1")
    assert (failure.code, failure.http_status) == ("endpoint_rejected", 302)


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


@asynccontextmanager
async def answering(answer: bytes, certificate: Certificate | None = None) -> AsyncIterator[str]:
    """A server that answers every request with the same bytes; yields its host and port."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    context = certificate and ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if certificate and context:
        context.load_cert_chain(certificate.certificate, certificate.key)
    async with await asyncio.start_server(answer_one, "127.0.0.1", 0, ssl=context) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname())


async def assert_unreachable(
    base_url: str, reason: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The event has the reason for people, and the log has one warning that adds the cause."""
    failure = await failure_of(base_url, "secretid")
    assert failure.code == "upstream_unavailable"
    assert failure.message == f"Sessionize could not be reached: {reason}."
    (line,) = [r for r in caplog.records if r.name == "worker.source.sessionize"]
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith(f"a fetch failed: {failure.message} ({cause}")
    assert "secretid" not in line.getMessage()


async def test_the_time_to_connect_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.3)
    with full_queue() as port:
        failure = await failure_of(f"http://127.0.0.1:{port}", "connects1")
    assert failure.message == "Sessionize could not be reached: no answer in time."


async def test_only_the_limit_of_the_attempt_ends_a_slow_answer(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.3)
    double.serve("slowhead1", BODY, delivery=Delivery(head_after_seconds=0.6))
    assert (await fetch(double.base_url, "slowhead1")).body == BODY
    async with http_client("1.2.3") as client:
        assert client.timeout == httpx.Timeout(None, connect=0.3)


async def test_a_refused_connection_is_named(caplog: pytest.LogCaptureFixture) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    await assert_unreachable(
        nobody, "the connection was refused", "ConnectionRefusedError: ", caplog
    )


async def test_an_unknown_host_is_named(caplog: pytest.LogCaptureFixture) -> None:
    reason = "the name of the host is not known"
    await assert_unreachable("http://sessionize.invalid", reason, "gaierror: ", caplog)


async def test_an_untrusted_certificate_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(b"", Authority(tmp_path).issue("server")) as place:
        await assert_unreachable(
            f"https://{place}",
            "the certificate of the server is not trusted (unable to get local issuer certificate)",
            "SSLCertVerificationError: ",
            caplog,
        )


async def test_a_proxy_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n") as place:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
        await assert_unreachable(
            "https://sessionize.invalid",
            "the proxy refused the connection (HTTP 407)",
            "ProxyError: 407 Login",
            caplog,
        )


@pytest.mark.parametrize("url", ["socks5://user:secret@127.0.0.1:9", "ftp://secret", "http://[::1"])
async def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(CommandError, match=r"ALL_PROXY .*\nRemedy: set it to") as raised:
        await fetch("http://127.0.0.1:9", "secretid")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("api_id", ["../admin", "a/b", "a?b", "ünïcödé1", "", "evil.example"])
async def test_an_api_id_becomes_neither_host_nor_path(double: Double, api_id: str) -> None:
    assert (await failure_of(double.base_url, api_id)).code == "invalid_api_id"
    assert not double.requests
