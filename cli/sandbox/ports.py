"""Free ports, and the race between finding one and listening on it."""

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from cli.sandbox.errors import PortTakenError

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

_TRIES = 5


def free_port() -> int:
    """A TCP port on which no process listens; another process may take it before the caller."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def on_free_port(
    server: Callable[[int], AbstractAsyncContextManager[None]], port: int | None
) -> AsyncIterator[int]:
    """Run a server on the given port, or on a free one, while the block runs; yields the port.

    If another process takes the free port first, another free port is tried, up to five times.

    Raises:
        PortTakenError: the given port is taken, or every free port was taken.
    """
    async with AsyncExitStack() as stack:
        for tries_left in reversed(range(_TRIES)):
            chosen = port or free_port()
            try:
                await stack.enter_async_context(server(chosen))
                break
            except PortTakenError:
                if port or not tries_left:
                    raise
                logger.info("port %d was taken by another process; trying another", chosen)
        yield chosen
