"""An HTTP server inside this process, for the health endpoints and the sandbox's Sessionize."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

_KEEP_ALIVE_SECONDS = 75
"""Longer than the minute of usual load balancers: if the server is first to close an idle
connection, a request that is on its way is lost."""
_END_SECONDS = 1
"""How long the end waits for a client that does not read its response."""


@asynccontextmanager
async def serving_http(app: ASGIApp, host: str, port: int = 0) -> AsyncIterator[int]:
    """Serve the application while the block runs; yields the port, a free one if 0 is given.

    Requests are not logged: their paths may hold secrets. The end closes idle connections
    at once, and waits at most a second for a response in flight.

    Example:
        async with serving_http(app, "127.0.0.1") as port: ...

    Raises:
        OSError: the port is taken.
    """
    listener = socket.create_server((host, port))
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handler: the process stops this server together with everything else."""
        yield
