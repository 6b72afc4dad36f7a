"""A database that can freeze: its connections stay open, and nothing answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from sqlalchemy import make_url

from tests.support.chaos.proxy import LOOPBACK, Proxy, proxy
from tests.support.ports import free_port

_FOREVER_SECONDS = 600.0


class Stalling(NamedTuple):
    """A database behind a proxy. Create it with `stalling`."""

    url: str
    """Leads through the proxy."""
    proxy: Proxy
    stack: AsyncExitStack

    async def freeze(self) -> None:
        """From now on nothing answers, as after SIGSTOP or `docker pause`."""
        swallowing = asyncio.ensure_future(self.proxy.swallow(_FOREVER_SECONDS))
        self.stack.callback(swallowing.cancel)
        await asyncio.sleep(0)


@asynccontextmanager
async def stalling(database_url: str) -> AsyncIterator[Stalling]:
    """Put a proxy before a database while the block runs."""
    url = make_url(database_url)
    async with proxy(free_port()) as made, AsyncExitStack() as stack:
        made.target = url.port
        through = url.set(host=LOOPBACK, port=made.port)
        yield Stalling(through.render_as_string(hide_password=False), made, stack)
