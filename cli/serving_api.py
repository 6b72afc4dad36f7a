"""Serving the HTTP side: by itself, or together with worker and projector in `up`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple
from uuid import UUID

from starlette.routing import BaseRoute

from audit.http.page.sandbox import Sandbox
from cli.api import ending_streams, http_side, security_of
from cli.connections import Addresses, database
from cli.health.monitor import Monitor
from cli.health.probes import (
    database_probe,
    feed_probe,
    kafka_probe,
    replica_probe,
    restore_probe,
    tokens_probe,
)
from cli.health.server import health_app, serving_health
from cli.http_server import host_and_port, serving_on
from cli.listening import http_place, listener_at, refuse_one_port
from cli.runfile import resolve, resolve_replica
from cli.services import VERSION, Start, all_of, going_on, may_pass, monitor_of
from cli.settings import Settings
from cli.telemetry.http import ObservedHttp
from cli.telemetry.telemetry import Telemetry, telemetry_of
from contracts.identity import OUTCOME, message_id
from eventstore.log import EventLog
from eventstore.restored import check_confirmed
from eventstore.schema_version import check_version
from messaging.cloudevents import TRACEPARENT
from projections.http.application import Security


class ServedApi(NamedTuple):
    """The HTTP side while it is served."""

    url: str
    background: asyncio.Task[None]
    """Ends only by a fault."""


@asynccontextmanager
async def serving_api(settings: Settings) -> AsyncIterator[ServedApi]:
    """Serve the HTTP side on existing servers while the block runs.

    Waits for a database that does not answer, is not migrated yet, or was restored without its
    erasures. Kafka is needed for requests only: without it they are refused, everything else works,
    and the process stays ready.

    Raises:
        SettingsError: an address or the token file is missing.
        CannotListenError: this process cannot listen there, for example on a taken port.
    """
    refuse_one_port(settings)
    security = security_of(settings, open_here=False)
    addresses = resolve(settings)
    monitor = monitor_of(settings)
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(
            telemetry_of("api", VERSION, settings, addresses)
        )
        telemetry.metrics.show_components(monitor.components)
        await stack.enter_async_context(
            serving_health(monitor, settings.http_host, settings.health_port, [telemetry.route])
        )
        monitoring = await stack.enter_async_context(going_on(monitor.run()))
        engine = await stack.enter_async_context(
            database(addresses.database_url, settings.database_pool)
        )
        monitor.watch(database_probe(partial(check_version, engine)))
        monitor.watch(kafka_probe(addresses.kafka).for_some_work())
        start = Start(monitor, stack)
        await start.step("PostgreSQL", partial(check_version, engine), on=may_pass)
        await start.step("the log", partial(check_confirmed, engine), on=may_pass)
        monitor.watch(database_probe(EventLog(engine).head))
        monitor.watch(restore_probe(engine))
        served = await stack.enter_async_context(
            serving_http_side(
                settings,
                addresses,
                security,
                health=tuple(health_app(monitor).routes),
                monitor=monitor,
                telemetry=telemetry,
            )
        )
        monitor.started()
        background = asyncio.create_task(all_of([_end_of(monitoring), _end_of(served.background)]))
        try:
            yield ServedApi(served.url, background)
        finally:
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)


@asynccontextmanager
async def serving_http_side(
    settings: Settings,
    addresses: Addresses,
    security: Security,
    *,
    health: tuple[BaseRoute, ...] = (),
    monitor: Monitor | None = None,
    sandbox: Sandbox | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[ServedApi]:
    """Serve the HTTP side on servers that answer and are migrated.

    Without `telemetry`, it has one of its own. A monitor that is given watches the token file, the
    replica and the feed. Raises `CannotListenError`.
    """
    if monitor is not None and security.tokens is not None:
        monitor.watch(tokens_probe(security.tokens))
    replica_address = resolve_replica(settings) if settings.read_database_url else None
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listener_at(http_place(settings)))
        if telemetry is None:
            telemetry = await stack.enter_async_context(
                telemetry_of("api", VERSION, settings, addresses)
            )
        engine = await stack.enter_async_context(
            database(addresses.database_url, settings.database_pool)
        )
        replica = engine
        if replica_address is not None:
            replica = await stack.enter_async_context(
                database(replica_address.url, settings.database_pool, replica_address.variable)
            )
            if monitor is not None:
                monitor.watch(replica_probe(replica))
        side = await http_side(
            settings,
            addresses,
            engine,
            replica,
            security,
            version=VERSION,
            health=(*health, telemetry.route),
            sandbox=sandbox,
            observer=telemetry.observer,
        )
        telemetry.metrics.show_feed_clients(side.feed_clients)
        if monitor is not None:
            monitor.watch(feed_probe(side.feed_fault))
        background = await stack.enter_async_context(going_on(all_of(side.background)))
        observed = ObservedHttp(
            side.app, telemetry.observer, partial(traceparent_of_sync, EventLog(engine))
        )
        port = listener.getsockname()[1]
        await stack.enter_async_context(serving_on(listener, observed))
        await stack.enter_async_context(ending_streams(side))
        yield ServedApi(f"http://{host_and_port(settings.http_host, port)}", background)


async def traceparent_of_sync(log: EventLog, sync_id: UUID) -> str | None:
    """Return the `traceparent` that the outcome of a sync has; None without one."""
    outcome = await log.event(message_id(sync_id, OUTCOME))
    found = None if outcome is None else outcome.metadata.get(TRACEPARENT)
    return found if isinstance(found, str) else None


async def _end_of(task: asyncio.Task[None]) -> None:
    await task
