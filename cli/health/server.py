"""`GET /live` and `GET /ready`: 200 or 503, and what was found, as JSON."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cli.health.findings import Finding
from cli.health.monitor import Monitor


def health_app(monitor: Monitor) -> Starlette:
    """The ASGI application."""

    async def live(_: Request) -> JSONResponse:
        return _answer(*monitor.liveness())

    async def ready(_: Request) -> JSONResponse:
        return _answer(*monitor.readiness())

    return Starlette(routes=[Route("/live", live), Route("/ready", ready)])


@asynccontextmanager
async def serving_health(monitor: Monitor, host: str, port: int | None) -> AsyncIterator[None]:
    """Serve while the block runs; nothing where no port is given.

    Raises:
        OSError: the port is taken.
    """
    if port is None:
        yield
        return
    listener = socket.create_server((host, port))
    server = _Server(uvicorn.Config(health_app(monitor), log_config=None, access_log=False))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's, which has more to end than this server."""
        yield


def _answer(ok: bool, findings: Mapping[str, Finding]) -> JSONResponse:
    components = {name: finding._asdict() for name, finding in findings.items()}
    return JSONResponse({"ok": ok, "components": components}, status_code=200 if ok else 503)
