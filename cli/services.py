"""The wiring of the services: worker with relay, projector with sweep, in one or more processes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import Flag, auto
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

import httpx
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.consumer import GROUP as ERASURES
from audit.erasure.consumer import erasure_consumer
from cli.brokers import relay_publisher, with_known_features
from cli.connections import (
    Addresses,
    database,
    http_client,
    leader_connection,
    plain_connection,
)
from cli.health.monitor import Monitor
from cli.health.probes import (
    Probe,
    database_probe,
    intake_probe,
    kafka_probe,
    projector_probe,
    relay_probe,
    restore_probe,
)
from cli.health.server import serving_health
from cli.servers import refuse_pooler_at
from cli.settings import Settings
from cli.telemetry.observing import ObservedLog
from cli.telemetry.telemetry import Telemetry, telemetry_of
from contracts.outage_text import describe_outage
from contracts.topics import ERASURE_REQUESTS, IMPORT_EVENTS, SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.errors import is_database_outage
from eventstore.leadership import Leadership
from eventstore.log import EventLog
from eventstore.restored import UnconfirmedRestoreError, check_confirmed
from eventstore.schema_version import DatabaseOlderError, check_version
from eventstore.wakeup import GATHER_SECONDS, WakeUp
from messaging.access import explaining
from messaging.backlog import read_backlog
from messaging.backoff import retry_until_success
from messaging.batch_consumer import ConsumerLog
from messaging.closing import close_app
from messaging.errors import is_kafka_outage
from messaging.lag import watching_lag
from messaging.observer import UNOBSERVED, Observer
from messaging.requests import producing
from messaging.topics import check_topics, declare_topics
from projections.hints import LogHints
from projections.projector import GROUP as PROJECTORS
from projections.projector import Projector
from worker.relay.chores import prune_from_time_to_time, seal_from_time_to_time
from worker.relay.open_runs import OpenRuns, end_abandoned_runs
from worker.relay.refusals import Refusals
from worker.relay.relay import Relay
from worker.source.sessionize import FetchLimits, Sessionize
from worker.sync.consumer import GROUP as WORKERS
from worker.sync.consumer import request_consumer
from worker.sync.handle import Handler

logger = logging.getLogger(__name__)

VERSION = version("spreaview-sync")

CLOSING_SECONDS = 15.0
"""At most this long after `graceful_timeout` a stopped service has closed, also without Kafka."""

T = TypeVar("T")


class Role(Flag):
    """The services that a process runs."""

    WORKER = auto()
    """Handles requests and relays the log (one leader, the others stand by)."""
    PROJECTOR = auto()
    """Builds the read models."""


def named(roles: Role) -> str:
    """Return the roles as one word: `worker`, `projector`, or `worker+projector`."""
    return "+".join(str(role.name).lower() for role in Role if role in roles)


class _Service(NamedTuple):
    """One role, wired but not started."""

    topic: str
    """The topic that it consumes."""
    router: Callable[[], KafkaRouter]
    """Creates a new router for every start: a router cannot be started twice."""
    background: Sequence[Coroutine[Any, Any, None]]
    probes: Sequence[Probe]
    drain: Callable[[float], Awaitable[None]] | None = None
    """Finishes requests in flight within the given seconds, before the group is left."""


@asynccontextmanager
async def running(
    roles: Role,
    settings: Settings,
    addresses: Addresses,
    telemetry: Telemetry | None = None,
    monitor: Monitor | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Run services while the block runs; the block starts when they receive messages.

    Waits for a database or broker that does not answer yet, for the database to be migrated, and
    for the erasures of a restored log to be confirmed. Raises `DatabaseNewerError` if a newer
    program has migrated it. Yields the task of the background work. This task ends only by a fault,
    so wait for it as well as for a signal. At the end, requests in flight are finished, or handed
    back after `graceful_timeout` seconds; then connections close, within `CLOSING_SECONDS`.

    Without `telemetry`, the services have one of their own. A monitor that is given, such as the
    one of the HTTP side, watches the services, too.
    """
    monitor = monitor or monitor_of(settings)
    async with AsyncExitStack() as stack:
        if telemetry is None:
            telemetry = await stack.enter_async_context(
                telemetry_of(named(roles), VERSION, settings, addresses)
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
        monitor.watch(kafka_probe(addresses.kafka))
        start = Start(monitor, stack)
        await start.step("PostgreSQL", partial(check_version, engine), on=may_pass)
        await start.step("the log", partial(check_confirmed, engine), on=may_pass)
        if Role.WORKER in roles:
            sessions = partial(refuse_pooler_at, addresses.for_sessions)
            await start.step("PostgreSQL", sessions, on=is_database_outage)
        # From now on only an answer counts: a newer program may migrate while this one runs.
        monitor.watch(database_probe(EventLog(engine).head))
        monitor.watch(restore_probe(engine))
        topics = partial(_declare, settings, addresses)
        await start.step("Kafka", topics, on=is_kafka_outage)
        services: list[_Service] = []
        if Role.WORKER in roles:
            services.append(await _worker(start, settings, addresses, engine, telemetry))
            services.append(await _erasures(start, settings, addresses, engine, telemetry))
        if Role.PROJECTOR in roles:
            services.append(await _projector(start, settings, addresses, engine, telemetry))
        for service in reversed(services):  # the worker's probe of Kafka looks at more topics
            for probe in service.probes:
                monitor.watch(probe)
        apps: list[FastStream] = []
        background = asyncio.create_task(
            all_of([_end_of(monitoring), *(work for s in services for work in s.background)])
        )
        try:
            # Concurrently, because joining a consumer group takes seconds.
            await asyncio.gather(*(_start(start, s, settings, addresses, apps) for s in services))
            monitor.started()
            logger.info("%s: ready", roles.name)
            yield background
        finally:
            time = asyncio.get_running_loop().time
            deadline = time() + settings.graceful_timeout
            drains = (s.drain(settings.graceful_timeout) for s in services if s.drain is not None)
            await asyncio.gather(*drains)
            left = max(0.0, deadline - time())
            await asyncio.gather(*(close_app(app, work_seconds=left) for app in apps))
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)


def monitor_of(settings: Settings) -> Monitor:
    """A monitor of the health of this process that watches nothing yet."""
    return Monitor(
        period_seconds=settings.health_period_seconds, stuck_seconds=settings.stuck_seconds
    )


class Start(NamedTuple):
    """The start of a process, one step after the other; the monitor reports the current one."""

    monitor: Monitor
    stack: AsyncExitStack

    async def step(
        self, server: str, work: Callable[[], Awaitable[T]], *, on: Callable[[Exception], bool]
    ) -> T:
        """Repeat the work until the server lets it succeed; return its result."""
        self.monitor.waits_for(f"{server}, which has not answered yet")

        async def reported() -> T:
            try:
                return await work()
            except Exception as error:
                if on(error):
                    self.monitor.waits_for(f"{server}: {describe_outage(error)}")
                raise

        return await retry_until_success(server, reported, on=on)

    async def entered(self, connected: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Enter a context manager that connects to Kafka, as soon as Kafka answers."""
        return await self.step(
            "Kafka", lambda: self.stack.enter_async_context(connected()), on=is_kafka_outage
        )


async def _start(
    start: Start,
    service: _Service,
    settings: Settings,
    addresses: Addresses,
    apps: list[FastStream],
) -> None:
    """Start the role's application as soon as the broker answers, and add it to `apps`."""

    async def begin() -> None:
        broker = KafkaBroker(
            addresses.kafka.bootstrap_servers,
            security=addresses.kafka.for_faststream(),
            client_id="spreaview-sync",
            allow_auto_create_topics=False,
            graceful_timeout=settings.graceful_timeout,
            logger=ConsumerLog(service.topic),
        )
        broker.include_router(service.router())
        app = FastStream(broker, logger=None)
        try:
            async with explaining(addresses.kafka):
                await app.start()
        except BaseException:
            await close_app(app, work_seconds=settings.graceful_timeout)
            raise
        apps.append(app)

    await start.step("Kafka", begin, on=is_kafka_outage)


@asynccontextmanager
async def going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run the work while the block runs; yields its task."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def may_pass(error: Exception) -> bool:
    """Whether a check of the database may succeed later: after a migration, grant or command."""
    waits = isinstance(error, DatabaseOlderError | UnconfirmedRestoreError)
    return waits or is_database_outage(error)


async def _end_of(task: asyncio.Task[None]) -> None:
    await task


async def all_of(background: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run endless work; raise if any of it ends, even without an error."""
    tasks = [asyncio.create_task(work) for work in background]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            if not task.cancelled():
                task.result()
        raise RuntimeError("endless background work has ended")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _worker(
    start: Start,
    settings: Settings,
    addresses: Addresses,
    engine: AsyncEngine,
    telemetry: Telemetry,
) -> _Service:
    observer = telemetry.observer
    log = ObservedLog(engine, observer)
    identity = await start.step("PostgreSQL", log.identity, on=is_database_outage)
    known = partial(with_known_features, addresses)
    addresses = await start.step("Kafka", known, on=is_kafka_outage)
    client = await start.stack.enter_async_context(
        http_client(VERSION, connections=settings.fetch_concurrency)
    )
    producer = await start.entered(partial(producing, addresses.kafka, log.clock))
    lag = await start.entered(partial(watching_lag, addresses.kafka, WORKERS))
    sessionize = sessionize_client(client, addresses.sessionize_base_url, settings, observer)
    snapshot_events = settings.snapshot_events
    intake = request_consumer(
        Handler(
            log, sessionize, identity, VERSION, snapshot_events=snapshot_events, observer=observer
        ),
        producer,
        session_seconds=settings.kafka_session_seconds,
        concurrency=settings.worker_concurrency,
        in_flight=settings.worker_in_hand,
        in_flight_bytes=settings.worker_in_flight_bytes,
        observer=observer,
    )
    telemetry.metrics.show_in_flight(SYNC_REQUESTS, intake.in_flight)
    checkpoints = Checkpoints(engine)
    publisher = relay_publisher(addresses, log.clock)
    relay = Relay(
        log,
        checkpoints,
        publisher,
        Leadership(partial(leader_connection, *addresses.for_sessions)),
        WakeUp(settings.relay_poll_seconds, gather_seconds=GATHER_SECONDS),
        batch=settings.relay_batch,
        observer=observer,
        may_publish=partial(check_confirmed, engine),
        refusals=Refusals(log, checkpoints),
    )
    topics = partial(_check_topics, settings, addresses)
    probes = (
        kafka_probe(addresses.kafka, lag, (SYNC_REQUESTS, IMPORT_EVENTS), topics),
        intake_probe(intake, lag),
        relay_probe(relay, log, checkpoints, publisher),
    )
    sealing = seal_from_time_to_time(engine, producer, relay, seconds=settings.seal_seconds)
    backlog = partial(read_backlog, addresses.kafka, SYNC_REQUESTS, WORKERS)
    ending = end_abandoned_runs(OpenRuns(engine, backlog, log), relay)
    background = [intake.commit(), relay.run(), sealing, ending]
    if settings.source_retention_days is not None:
        age = timedelta(days=settings.source_retention_days)
        background.append(prune_from_time_to_time(log, relay, age))
    return _Service(SYNC_REQUESTS, intake.router, background, probes, intake.drain)


async def _erasures(
    start: Start,
    settings: Settings,
    addresses: Addresses,
    engine: AsyncEngine,
    telemetry: Telemetry,
) -> _Service:
    producer = await start.entered(partial(producing, addresses.kafka, EventLog(engine).clock))
    lag = await start.entered(partial(watching_lag, addresses.kafka, ERASURES))
    consumer = erasure_consumer(engine, producer, session_seconds=settings.kafka_session_seconds)
    telemetry.metrics.show_in_flight(ERASURE_REQUESTS, consumer.in_flight)
    probes = [intake_probe(consumer, lag, "erasures")]
    return _Service(ERASURE_REQUESTS, consumer.router, [consumer.commit()], probes, consumer.drain)


async def _projector(
    start: Start,
    settings: Settings,
    addresses: Addresses,
    engine: AsyncEngine,
    telemetry: Telemetry,
) -> _Service:
    lag = await start.entered(partial(watching_lag, addresses.kafka, PROJECTORS))
    projector = Projector(engine, sweep_seconds=settings.sweep_seconds, observer=telemetry.observer)
    router = partial(
        projector.router,
        session_seconds=settings.kafka_session_seconds,
        max_records=settings.projector_batch,
    )
    topics = partial(_check_topics, settings, addresses)
    probes = (
        kafka_probe(addresses.kafka, lag, (IMPORT_EVENTS,), topics),
        projector_probe(engine),
    )
    hints = LogHints(engine, projector, partial(plain_connection, addresses.for_sessions))
    return _Service(
        IMPORT_EVENTS, router, [projector.sweep(), hints.listen(), hints.follow()], probes
    )


def sessionize_client(
    client: httpx.AsyncClient,
    base_url: str,
    settings: Settings,
    observer: Observer = UNOBSERVED,
) -> Sessionize:
    """A client of Sessionize with the limits of the settings."""
    limits = FetchLimits(
        max_bytes=settings.max_document_bytes,
        attempt_seconds=settings.fetch_seconds,
        attempts=settings.fetch_attempts,
        at_once=settings.fetch_concurrency,
    )
    return Sessionize(client, base_url, limits, _now, observer)


async def _check_topics(settings: Settings, addresses: Addresses) -> None:
    await check_topics(
        addresses.kafka,
        partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        retention_days=settings.events_retention_days,
        erasure_days=settings.erasure_retention_days,
        manage=settings.kafka_manage_topics,
    )


async def _declare(settings: Settings, addresses: Addresses) -> None:
    await declare_topics(
        addresses.kafka,
        partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        retention_days=settings.events_retention_days,
        erasure_days=settings.erasure_retention_days,
        manage=settings.kafka_manage_topics,
    )


def _now() -> datetime:
    return datetime.now(UTC)
