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

    Example:
        async with serving_http(app, "127.0.0.1") as port: ...

    Raises:
        OSError: the port is taken.
    """
    listener = listening_socket(host, port)
    async with serving_on(listener, app):
        yield listener.getsockname()[1]


@asynccontextmanager
async def serving_on(listener: socket.socket, app: ASGIApp) -> AsyncIterator[None]:
    """Serve the application while the block runs, and close the socket.

    Requests are not logged: their paths may hold secrets. At its end, the block closes
    idle connections at once, and waits up to a second for responses in flight.
    """
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
        yield
    finally:
        server.should_exit = True
        await task


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket whose connections send small segments at once.

    A name that has addresses of both kinds is taken as IPv4. `::` also takes IPv4 where the system
    can.

    asyncio sets TCP_NODELAY only if a socket names TCP as its protocol. A socket of `create_server`
    names none. Without the option, the body of an answer may wait 40 ms for the client to
    acknowledge the head. Accepted connections inherit it.

    Raises:
        OSError: the name is not known, the address is not of this machine, or the port is taken.
        UnicodeError: the name can be none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(address, family=family, dualstack_ipv6=both)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def host_and_port(host: str, port: int) -> str:
    """Return `host:port` as URLs have it: an address of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handler: the process stops this server together with everything else."""
        yield
