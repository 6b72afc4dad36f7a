"""`GET /live` and `GET /ready`: status 200 or 503, and the health of each component as JSON.

Further routes, such as `/metrics`, may be served with them.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from cli.health.component_health import ComponentHealth
from cli.health.monitor import Monitor
from cli.http_server import serving_on
from cli.listening import health_place, listener_at


def health_app(monitor: Monitor, more: Iterable[BaseRoute] = ()) -> Starlette:
    """The ASGI application."""

    async def live(_: Request) -> JSONResponse:
        return _answer(*monitor.liveness())

    async def ready(_: Request) -> JSONResponse:
        return _answer(*monitor.readiness())

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), *more])


@asynccontextmanager
async def serving_health(
    monitor: Monitor, host: str, port: int | None, more: Iterable[BaseRoute] = ()
) -> AsyncIterator[None]:
    """Serve the endpoints while the block runs, if a port is given.

    Raises:
        CannotListenError: this process cannot listen there, for example on a taken port.
    """
    if port is None:
        yield
        return
    async with serving_on(listener_at(health_place(host, port)), health_app(monitor, more)):
        yield


def _answer(ok: bool, components: Mapping[str, ComponentHealth]) -> JSONResponse:
    body = {"ok": ok, "components": {name: each._asdict() for name, each in components.items()}}
    return JSONResponse(body, status_code=200 if ok else 503)
