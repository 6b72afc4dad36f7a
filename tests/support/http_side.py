"""The HTTP side of a running line, over real HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from cli.connections import Addresses
from cli.serving_api import serving_http_side
from cli.settings import Settings
from messaging.connection import KafkaConnection
from projections.http.application import Security
from projections.http.tokens import Tokens
from tests.support.line import Line


@dataclass
class HttpSide:
    """A client of the HTTP side, and its address."""

    client: httpx.AsyncClient
    url: str


@asynccontextmanager
async def the_http_side(
    line: Line, tokens: Tokens | None = None, **settings: object
) -> AsyncIterator[HttpSide]:
    """Serve the HTTP side of a line on a free port; open to everybody without tokens."""
    async with _serving(line.addresses, tokens, settings) as side:
        yield side


@asynccontextmanager
async def http_side_without_kafka(
    database_url: str, tokens: Tokens | None = None, **settings: object
) -> AsyncIterator[HttpSide]:
    """Serve the HTTP side on a database, without a broker; otherwise as `the_http_side`."""
    addresses = Addresses(database_url, KafkaConnection("127.0.0.1:1"), "http://127.0.0.1:1", False)
    async with _serving(addresses, tokens, settings) as side:
        yield side


@asynccontextmanager
async def _serving(
    addresses: Addresses, tokens: Tokens | None, settings: Mapping[str, object]
) -> AsyncIterator[HttpSide]:
    chosen = Settings(database_pool=8, relay_poll_seconds=0.2).model_copy(update=settings)
    async with (
        serving_http_side(chosen, addresses, Security(tokens)) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        yield HttpSide(client, served.url)
