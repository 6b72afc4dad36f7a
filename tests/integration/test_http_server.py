"""The HTTP server: its socket, its port, and its stop."""

import asyncio
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.http_server import host_and_port, listening_socket, serving_http
from projections.http.application import answering
from tests.support.ipv6 import needs_ipv6

pytestmark = pytest.mark.asyncio


async def test_accepted_connections_do_not_wait_for_acknowledgements() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("host", "callers"),
    [
        pytest.param("::1", ["::1"], marks=needs_ipv6),
        pytest.param("::", ["::1", "127.0.0.1"], marks=needs_ipv6),
        ("localhost", ["127.0.0.1"]),
    ],
)
async def test_addresses_of_ipv6_and_names_are_listened_on(host: str, callers: list[str]) -> None:
    with listening_socket(host, 0) as listener:
        port = listener.getsockname()[1]
        for caller in callers:
            with socket.create_connection((caller, port)):
                listener.accept()[0].close()


async def test_an_address_of_ipv6_is_shown_in_brackets() -> None:
    assert host_and_port("::1", 80) == "[::1]:80"
    assert host_and_port("localhost", 80) == "localhost:80"


async def test_a_taken_port_is_an_error() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with serving_http(lambda *_: asyncio.sleep(0), "127.0.0.1", port):
                pass


async def test_a_request_that_outlasts_the_stop_is_answered_as_unavailable() -> None:
    arrived, never = asyncio.Event(), asyncio.Event()

    async def hang(_: Request) -> Response:
        arrived.set()
        await never.wait()
        return Response()

    app = Starlette(routes=[Route("/", answering(hang))])
    async with httpx.AsyncClient(timeout=30) as client:
        async with serving_http(app, "127.0.0.1") as port:
            asked = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await arrived.wait()
        answer = await asked
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["detail"] == "The server stops before it has the answer. Ask again"
