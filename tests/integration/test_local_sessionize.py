"""The sandbox's Sessionize and the tests' double send the same answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from cli.sandbox.conference import conference, encode_conference
from cli.sandbox.sessionize import local_sessionize
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.clients import PROMPT_SECONDS, assert_nothing_listens, client_of
from tests.support.sessionize.double import sessionize_double

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def double() -> AsyncIterator[str]:
    async with sessionize_double(Documents()) as running:
        yield running.base_url


@pytest_asyncio.fixture(params=[local_sessionize, double], ids=["sandbox", "double"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    server: AbstractAsyncContextManager[str] = request.param()
    async with (
        server as base_url,
        client_of(base_url) as http,
    ):
        yield http


async def test_the_demo_conference_is_served_byte_for_byte(client: httpx.AsyncClient) -> None:
    response = await client.get("/demo2026/view/All")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.content == encode_conference(conference("demo2026"))
    assert response.headers["content-length"] == str(len(response.content))


async def test_unannounced_and_empty_conferences_are_served(client: httpx.AsyncClient) -> None:
    unannounced = (await client.get("/unannounc/view/All")).json()
    empty = (await client.get("/emptyconf/view/All")).json()

    assert unannounced["sessions"]
    assert unannounced["rooms"] == []
    assert empty["sessions"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/demo2026/view/Sessions", 400),
        ("/demo2026/view/all", 400),
        ("/htmlpage1/view/All", 200),
        ("/notfound1/view/All", 404),
        ("/nobody123/view/All", 404),
        ("/nobody123/view/Sessions", 404),
        ("/demo2026/view/All/", 404),
        ("/demo2026/view/All/more", 404),
        ("/demo2026", 404),
        ("/", 404),
    ],
)
async def test_anything_but_a_schedule_is_a_page(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    response = await client.get(path)

    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!DOCTYPE html>")


async def test_only_get_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.post("/demo2026/view/All", content=b"x" * 300_000)

    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) - {"HEAD"} == {"GET"}
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.get("/demo2026/view/All")).status_code == 200


async def test_a_query_changes_nothing(client: httpx.AsyncClient) -> None:
    expected = (await client.get("/demo2026/view/All")).content

    assert (await client.get("/demo2026/view/All?t=1")).content == expected


async def test_the_sandbox_frees_its_port_while_a_client_still_holds_a_connection() -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        async with local_sessionize() as base_url:
            parts = urlsplit(base_url)
            assert parts.hostname == "127.0.0.1"
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"GET /api/v2/demo2026/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.read()
        writer.close()
    assert_nothing_listens(base_url)


async def test_the_sandbox_frees_its_port_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        async with local_sessionize() as base_url:
            raise ZeroDivisionError

    assert_nothing_listens(base_url)
