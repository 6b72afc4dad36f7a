"""The services, wired: worker with relay, projector with sweep, in one process or in several."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from enum import Flag, auto
from functools import partial
from importlib.metadata import version
from typing import Any

import httpx
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import Addresses, database, http_client, leader_connection
from cli.settings import Settings
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from eventstore.outage import is_database_outage
from messaging.outage import is_kafka_outage
from messaging.requests import producing
from messaging.topics import declare_topics
from messaging.waiting import persist
from projections.projector import Projector
from worker.handle import Handler
from worker.intake import RequestIntake
from worker.relay import Relay
from worker.sessionize import FetchLimits, Sessionize

logger = logging.getLogger(__name__)

VERSION = version("spreaview-sync")


class Role(Flag):
    """What a process does."""

    WORKER = auto()
    """Takes requests, and relays the log (one leader, the others stand by)."""
    PROJECTOR = auto()
    """Builds the read models."""


@asynccontextmanager
async def running(
    roles: Role, settings: Settings, addresses: Addresses
) -> AsyncIterator[asyncio.Task[None]]:
    """Run services while the block runs; entered when they take messages.

    Waits for a database or a broker that is not there yet. Yields the task of the background
    work, which ends only by a fault: an owner that waits for a signal waits for it, too.
    """
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            database(addresses.database_url, settings.database_pool)
        )
        await persist("Kafka", partial(_declare, settings, addresses), on=is_kafka_outage)
        apps: list[FastStream] = []
        background: list[Coroutine[Any, Any, None]] = []
        if Role.WORKER in roles:
            intake, relay = await _worker(stack, settings, addresses, engine)
            apps.append(_app(intake.router(settings.worker_batch), settings, addresses))
            background.append(relay.run())
        if Role.PROJECTOR in roles:
            projector = Projector(engine, sweep_seconds=settings.sweep_seconds)
            apps.append(_app(projector.router(settings.projector_batch), settings, addresses))
            background.append(projector.sweep())
        task = asyncio.create_task(_all(background))
        try:
            # At once, since joining a consumer group takes seconds.
            await asyncio.gather(*(app.start() for app in apps))
            logger.info("%s: ready", roles.name)
            yield task
        finally:
            await asyncio.gather(*(app.stop() for app in apps))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _app(router: KafkaRouter, settings: Settings, addresses: Addresses) -> FastStream:
    broker = KafkaBroker(
        addresses.kafka,
        client_id="spreaview-sync",
        allow_auto_create_topics=False,
        graceful_timeout=settings.graceful_timeout,
        logger=None,
    )
    broker.include_router(router)
    return FastStream(broker, logger=None)


async def _all(background: list[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in background:
            group.create_task(work)


async def _worker(
    stack: AsyncExitStack, settings: Settings, addresses: Addresses, engine: AsyncEngine
) -> tuple[RequestIntake, Relay]:
    log = EventLog(engine)
    identity = await persist(
        "the log (is the database migrated? spreaview-sync migrate)",
        log.identity,
        on=is_database_outage,
    )
    client = await stack.enter_async_context(http_client(VERSION))
    producer = await stack.enter_async_context(producing(addresses.kafka))
    sessionize = sessionize_client(client, addresses.sessionize_base_url, settings)
    handler = Handler(log, sessionize, identity, VERSION)
    relay = Relay(
        log,
        identity,
        Checkpoints(engine),
        producer,
        partial(leader_connection, addresses.database_url),
        poll_seconds=settings.relay_poll_seconds,
        batch=settings.relay_batch,
    )
    return RequestIntake(handler, producer, settings.worker_concurrency), relay


def sessionize_client(client: httpx.AsyncClient, base_url: str, settings: Settings) -> Sessionize:
    """The client of Sessionize, with the limits that the settings give."""
    limits = FetchLimits(
        max_bytes=settings.max_document_bytes,
        attempt_seconds=settings.fetch_seconds,
        attempts=settings.fetch_attempts,
        at_once=settings.fetch_concurrency,
    )
    return Sessionize(client, base_url, limits, _now)


async def _declare(settings: Settings, addresses: Addresses) -> None:
    await declare_topics(
        addresses.kafka,
        partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        retention_days=settings.events_retention_days,
    )


def _now() -> datetime:
    return datetime.now(UTC)
