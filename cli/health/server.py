"""`GET /live` and `GET /ready`: status 200 or 503, and the health of each component as JSON.

Further routes, such as `/metrics`, may be served with them.
"""

import errno
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from cli.health.component_health import ComponentHealth
from cli.health.monitor import Monitor
from cli.http_server import serving_http
from cli.settings import SettingsError


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
        SettingsError: this process cannot listen there, for example because the port is taken.
    """
    if port is None:
        yield
        return
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serving_http(health_app(monitor, more), host, port))
        except OSError as error:
            raise SettingsError(_why_not(host, port, error)) from error
        yield


def _why_not(host: str, port: int, error: OSError) -> str:
    variables = "SPREAVIEW_HEALTH_PORT and SPREAVIEW_HTTP_HOST"
    if error.errno == errno.EADDRINUSE:
        return (
            f"the health endpoints cannot be served: another process listens on {host}:{port}. "
            "Remedy: stop that one, or set SPREAVIEW_HEALTH_PORT to a free port"
        )
    return (
        f"the health endpoints cannot be served at {host}:{port}: {error.strerror}. Check "
        f"{variables}"
    )


def _answer(ok: bool, components: Mapping[str, ComponentHealth]) -> JSONResponse:
    body = {"ok": ok, "components": {name: each._asdict() for name, each in components.items()}}
    return JSONResponse(body, status_code=200 if ok else 503)
