"""The tests' double of Sessionize speaks HTTP/1.1 and serves what a test gives it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from cli.sandbox.conference import conference, encode_conference
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.clients import (
    PROMPT_SECONDS,
    assert_nothing_listens,
    client_of,
    open_raw,
)
from tests.support.sessionize.double import Double, sessionize_double

BOM = b"\xef\xbb\xbf"
BODY = BOM + b'{\r\n  "sessions": [],\r\n  "title": "\xe2\x98\x95"\r\n}'


@pytest_asyncio.fixture
async def double() -> AsyncIterator[Double]:
    async with sessionize_double(Documents({"mydoc123": BODY})) as running:
        yield running


@pytest_asyncio.fixture
async def client(double: Double) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(double.base_url) as http:
        yield http


@pytest.mark.asyncio
async def test_a_document_is_served_as_json_byte_for_byte(client: httpx.AsyncClient) -> None:
    response = await client.get("/mydoc123/view/All")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["content-length"] == str(len(BODY))
    assert response.http_version == "HTTP/1.1"
    assert response.content == BODY


@pytest.mark.asyncio
async def test_an_answer_can_be_replaced_while_the_double_runs(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.serve("mydoc123", b"later", status=503, headers={"Retry-After": "7"})
    double.serve("newdoc12", b"<script>", content_type="text/javascript")

    replaced = await client.get("/mydoc123/view/All")
    assert (replaced.status_code, replaced.content) == (503, b"later")
    assert replaced.headers["retry-after"] == "7"
    added = await client.get("/newdoc12/view/All")
    assert added.headers["content-type"] == "text/javascript"

    double.serve("mydoc123", b"", status=304)
    assert (await client.get("/mydoc123/view/All")).status_code == 304


@pytest.mark.asyncio
async def test_every_request_is_remembered(double: Double, client: httpx.AsyncClient) -> None:
    await client.get("/mydoc123/view/All?t=1", headers={"If-None-Match": '"v1"'})
    await client.get("/nobody123/view/All", headers=[("X-Twice", "a"), ("X-Twice", "b")])

    first, second = double.requests
    assert (first.method, first.path) == ("GET", "/api/v2/mydoc123/view/All?t=1")
    assert first.headers["if-none-match"] == '"v1"'
    assert second.headers["x-twice"] == "a, b"


@pytest.mark.asyncio
async def test_one_connection_serves_many_requests(client: httpx.AsyncClient) -> None:
    ports = set()
    for path in ("/mydoc123/view/All", "/nobody123/view/All", "/mydoc123/view/Other") * 3:
        async with client.stream("GET", path) as response:
            ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            await response.aread()

    assert len(ports) == 1


@pytest.mark.asyncio
async def test_many_clients_are_served_at_once(double: Double) -> None:
    body = encode_conference(conference("large123", sessions=2000))
    double.serve("large123", body)

    async def ask(number: int) -> bool:
        async with client_of(double.base_url) as http:
            own = f"client{number:03}"
            double.serve(own, own.encode())
            mine = [(await http.get(f"/{own}/view/All")).content for _ in range(5)]
            return mine == [own.encode()] * 5 and (
                (await http.get("/large123/view/All")).content == body
            )

    assert all(await asyncio.gather(*(ask(number) for number in range(20))))
    assert len(double.requests) == 20 * 6


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_delays_no_other_client(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.serve("large123", b" " * 20_000_000)
    _, writer = await open_raw(double.base_url)
    writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
    while not double.requests:
        await client.get("/mydoc123/view/All")

    response = await client.get("/mydoc123/view/All", timeout=PROMPT_SECONDS)

    assert response.content == BODY
    writer.transport.abort()


@pytest.mark.asyncio
async def test_pipelined_requests_are_answered_in_order(double: Double) -> None:
    double.serve("second12", b"second")
    reader, writer = await open_raw(double.base_url)
    request = "GET /api/v2/{}/view/All HTTP/1.1\r\nHost: x\r\n{}\r\n"
    ahead = request.format("mydoc123", "") + request.format("second12", "Connection: close\r\n")

    writer.write(ahead.encode())
    answers = await reader.read()

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(BODY) < answers.index(b"second")
    assert answers.endswith(b"second")
    writer.close()


@pytest.mark.asyncio
async def test_a_request_sent_byte_by_byte_is_answered(double: Double) -> None:
    reader, writer = await open_raw(double.base_url)
    for byte in b"GET /api/v2/mydoc123/view/All HTTP/1.0\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()

    answer = await reader.read()

    assert answer.endswith(BODY)
    writer.close()


@pytest.mark.asyncio
async def test_expect_100_continue_is_answered_before_the_body_is_sent(double: Double) -> None:
    reader, writer = await open_raw(double.base_url)
    writer.write(
        b"POST /api/v2/mydoc123/view/All HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")

    writer.write(b"{}")

    assert (await reader.read()).startswith(b"HTTP/1.1 405")
    writer.close()


@pytest.mark.asyncio
async def test_bytes_that_are_not_http_are_refused_and_the_server_continues(
    double: Double, client: httpx.AsyncClient
) -> None:
    reader, writer = await open_raw(double.base_url)
    writer.write(b"\x16\x03\x01 this is no request\r\n\r\n")

    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert (await client.get("/mydoc123/view/All")).status_code == 200
    assert len(double.requests) == 1
    writer.close()


@pytest.mark.asyncio
async def test_a_client_that_disconnects_disturbs_no_other_client(
    double: Double, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    double.serve("large123", b" " * 20_000_000)
    _, writer = await open_raw(double.base_url)
    writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
    while not double.requests:
        await client.get("/nobody123/view/All")
    writer.transport.abort()

    assert (await client.get("/mydoc123/view/All")).content == BODY
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_sent_is_logged_and_ends_only_its_connection(
    double: Double, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    double.serve("mydoc123", b"", headers={"not a header": "x"})

    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/mydoc123/view/All")

    assert "an exchange failed" in caplog.text
    assert (await client.get("/emptyconf/view/All")).status_code == 200


@pytest.mark.asyncio
async def test_connections_are_counted_even_without_a_request(
    double: Double, client: httpx.AsyncClient
) -> None:
    _, writer = await open_raw(double.base_url)
    for _ in range(3):
        await client.get("/mydoc123/view/All")

    assert double.connections == 2
    writer.close()


@pytest.mark.asyncio
async def test_the_end_closes_idle_and_busy_connections_promptly() -> None:
    documents = Documents({"large123": b" " * 20_000_000})
    async with asyncio.timeout(PROMPT_SECONDS):
        async with sessionize_double(documents) as double:
            fresh, fresh_writer = await open_raw(double.base_url)
            busy, busy_writer = await open_raw(double.base_url)
            busy_writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
            idle, idle_writer = await open_raw(double.base_url)
            idle_writer.write(b"GET /api/v2/nobody123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await idle.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            await busy.readuntil(b"\r\n\r\n")

        assert (await idle.read()).endswith(b"</html>\n")
        assert await fresh.read() == b""
        assert len(await busy.read()) < 20_000_000
    for writer in (fresh_writer, busy_writer, idle_writer):
        writer.transport.abort()
    assert_nothing_listens(double.base_url)


@pytest.mark.asyncio
async def test_the_port_is_freed_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        async with sessionize_double(Documents()) as double:
            raise ZeroDivisionError

    assert_nothing_listens(double.base_url)


@pytest.mark.asyncio
async def test_a_port_can_be_given_and_is_free_again_afterwards(double: Double) -> None:
    port = urlsplit(double.base_url).port
    with pytest.raises(OSError, match=str(port)):
        async with sessionize_double(Documents(), port=port):
            pass

    async with sessionize_double(Documents()) as earlier:
        port = urlsplit(earlier.base_url).port
    async with sessionize_double(Documents(), port=port) as later:
        assert later.base_url == earlier.base_url
