"""Every fault that the tests' double of Sessionize can add to an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending
from tests.support.sessionize.clients import (
    PROMPT_SECONDS,
    assert_nothing_listens,
    client_of,
    open_raw,
)
from tests.support.sessionize.double import Double, sessionize_double

REQUEST = b"GET /api/v2/mydoc123/view/All HTTP/1.1\r\nHost: x\r\n\r\n"
LETTERS = b"abcdefghij"


@pytest_asyncio.fixture
async def double() -> AsyncIterator[Double]:
    async with sessionize_double(Documents()) as running:
        yield running


@pytest_asyncio.fixture
async def client(double: Double) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(double.base_url) as http:
        yield http


async def asked_raw(
    double: Double, delivery: Delivery
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    double.serve("mydoc123", LETTERS, delivery=delivery)
    reader, writer = await open_raw(double.base_url)
    writer.write(REQUEST)
    return reader, writer


@pytest.mark.asyncio
async def test_answers_are_sent_in_turn_and_the_last_one_is_repeated(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.documents.put("mydoc123", Answer(b"", 503), Answer(b"", 429), Answer(LETTERS))

    statuses = [(await client.get("/mydoc123/view/All")).status_code for _ in range(4)]

    assert statuses == [503, 429, 200, 200]


@pytest.mark.asyncio
async def test_a_body_can_be_repeated_many_times(double: Double, client: httpx.AsyncClient) -> None:
    double.serve("mydoc123", LETTERS, delivery=Delivery(times=1000, piece_bytes=7))

    for _ in range(2):
        response = await client.get("/mydoc123/view/All")
        assert response.headers["content-length"] == "10000"
        assert response.content == LETTERS * 1000
    assert double.connections == 1


@pytest.mark.asyncio
async def test_an_answer_can_be_late_and_slow(double: Double, client: httpx.AsyncClient) -> None:
    slow = Delivery(head_after_seconds=0.2, piece_bytes=2, pause_seconds=0.02)
    double.serve("mydoc123", LETTERS, delivery=slow)
    began = asyncio.get_running_loop().time()

    async with client.stream("GET", "/mydoc123/view/All") as response:
        head_at = asyncio.get_running_loop().time()
        assert await response.aread() == LETTERS

    assert head_at - began >= 0.2
    assert asyncio.get_running_loop().time() - began >= 0.2 + 5 * 0.02


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("delivery", "told", "body"),
    [
        (Delivery(body_bytes=4), 10, b"abcd"),
        (Delivery(body_bytes=0, ending=Ending.CLOSE), 10, b""),
        (Delivery(body_bytes=13, times=2), 20, b"abcdefghijabc"),
        (Delivery(content_length=4), 4, LETTERS),
        (Delivery(content_length=40), 40, LETTERS),
        (Delivery(ending=Ending.CLOSE), 10, LETTERS),
    ],
)
async def test_a_wrong_content_length_ends_the_connection(
    double: Double, delivery: Delivery, told: int, body: bytes
) -> None:
    reader, writer = await asked_raw(double, delivery)

    head, _, sent = (await reader.read()).partition(b"\r\n\r\n")

    assert f"content-length: {told}" in head.decode().lower()
    assert sent == body
    writer.close()


@pytest.mark.asyncio
async def test_a_connection_can_be_reset(double: Double) -> None:
    delivery = Delivery(has_head=False, ending=Ending.RESET)
    reader, writer = await asked_raw(double, delivery)

    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("delivery", "sent"),
    [
        (Delivery(has_head=False, ending=Ending.HANG), b""),
        (Delivery(body_bytes=0, ending=Ending.HANG), b"\r\n\r\n"),
        (Delivery(body_bytes=4, ending=Ending.HANG), b"\r\n\r\nabcd"),
    ],
)
async def test_an_answer_can_stall_while_the_connection_stays_open(
    double: Double, client: httpx.AsyncClient, delivery: Delivery, sent: bytes
) -> None:
    reader, writer = await asked_raw(double, delivery)
    if sent:
        assert (await reader.readuntil(sent)).endswith(sent)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1)

    assert len(double.requests) == 1
    assert (await client.get("/emptyconf/view/All")).status_code == 200
    writer.transport.abort()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(has_head=False, ending=Ending.HANG),
        Delivery(head_after_seconds=600),
        Delivery(pause_seconds=600),
    ],
)
async def test_the_end_does_not_wait_for_a_slow_or_stalled_answer(delivery: Delivery) -> None:
    async with asyncio.timeout(PROMPT_SECONDS), sessionize_double(Documents()) as double:
        _, writer = await asked_raw(double, delivery)
        async with client_of(double.base_url) as client:
            while not any("mydoc123" in request.path for request in double.requests):
                await client.get("/nobody123/view/All")
    writer.transport.abort()
    assert_nothing_listens(double.base_url)
