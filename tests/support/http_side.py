"""The HTTP side of a running line, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from cli.serving_api import serving_http_side
from cli.settings import Settings
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
    chosen = Settings(database_pool=8, relay_poll_seconds=0.2).model_copy(update=settings)
    async with (
        serving_http_side(chosen, line.addresses, Security(tokens)) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        yield HttpSide(client, served.url)
