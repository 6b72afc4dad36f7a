"""Clients of a Sessionize that runs on this machine."""

import asyncio
import socket
from urllib.parse import urlsplit

import httpx

PROMPT_SECONDS = 2.0
"""An end that takes longer than this was waiting for something."""


def client_of(base_url: str) -> httpx.AsyncClient:
    """An HTTP client that ignores the proxies of the environment."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False)


async def open_raw(base_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection for requests that no HTTP client would send."""
    return await asyncio.open_connection("127.0.0.1", _port(base_url))


def assert_nothing_listens(base_url: str) -> None:
    with socket.socket() as probe:
        probe.settimeout(PROMPT_SECONDS)
        assert probe.connect_ex(("127.0.0.1", _port(base_url))) != 0


def _port(base_url: str) -> int:
    port = urlsplit(base_url).port
    assert port is not None
    return port
