"""The telemetry of one process: its metrics, its observer, and `/metrics`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.connections import Addresses, database
from cli.settings import Settings
from cli.telemetry.gathering import Gatherer
from cli.telemetry.metrics import Metrics
from cli.telemetry.observing import ProcessObserver
from cli.telemetry.readings import sources_of
from cli.telemetry.tracing import is_on, tracing
from messaging.backoff import observe_retries


class Telemetry(NamedTuple):
    """The metrics of a process, its observer, and the route that shows them."""

    metrics: Metrics
    observer: ProcessObserver
    route: Route
    """`GET /metrics`."""


@asynccontextmanager
async def telemetry_of(
    role: str, version: str, settings: Settings, addresses: Addresses
) -> AsyncIterator[Telemetry]:
    """Measure this process while the block runs."""
    async with AsyncExitStack() as stack:
        metrics = Metrics(version, role)
        tracer = await stack.enter_async_context(tracing(version, role))
        engine = await stack.enter_async_context(database(addresses.database_url, pool_size=2))
        gatherer = Gatherer(sources_of(addresses, engine), period=settings.metrics_seconds)
        metrics.registry.register(gatherer)
        observe_retries(metrics.retried)
        await stack.enter_async_context(gatherer.running())
        observer = ProcessObserver(metrics, tracer, is_tracing=is_on())
        yield Telemetry(metrics, observer, _route(metrics, gatherer))


def _route(metrics: Metrics, gatherer: Gatherer) -> Route:
    async def show(request: Request) -> Response:
        await gatherer.scraped()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(
            encode(metrics.registry),
            headers={"Content-Type": content_type, "Cache-Control": "no-store"},
        )

    return Route("/metrics", show)
