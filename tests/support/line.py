"""The whole line in this process: broker and database are real, Sessionize is the double."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import Addresses, database
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import run_ended
from contracts.messages import SyncRequested, Window
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from projections.queries import JsonRow, Queries
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import Double, sessionize_double
from worker.relay.checkpoint import CHECKPOINT

PATIENCE = 60.0
_LOOK_SECONDS = 0.05
"""Seconds after which a run that has not ended is a fault."""

ORGANIZATION = UUID("11111111-0000-4000-8000-000000000001")

VIEWS = (
    "sync_runs",
    "rooms",
    "event_speakers",
    "speakers",
    "sessions",
    "session_speakers",
    "skipped_sessions",
    "stream_progress",
)


def a_request(
    api_id: str,
    window: Window,
    *,
    event_id: UUID | None = None,
    request_id: UUID | None = None,
    requested_by: str | None = "Ada Example",
    organization_id: UUID = ORGANIZATION,
) -> SyncRequested:
    """A request as SpreaView makes them; ids that do not matter are new."""
    return SyncRequested(
        request_id=request_id or uuid4(),
        organization_id=organization_id,
        spreaview_event_id=event_id or uuid4(),
        sessionize_api_id=api_id,
        window=window,
        requested_at=datetime.now(UTC),
        requested_by=requested_by,
    )


@dataclass
class Line:
    """What a test sees of the running system."""

    addresses: Addresses
    engine: AsyncEngine
    double: Double
    producer: AIOKafkaProducer

    @property
    def log(self) -> EventLog:
        return EventLog(self.engine)

    async def sync(self, request: SyncRequested) -> JsonRow:
        """Publish a request and wait for its row in `sync_runs`."""
        await publish_request(self.producer, request)
        return await self.ended(request.request_id)

    async def ended(self, request_id: UUID) -> JsonRow:
        return await run_ended(Queries(self.engine), request_id, PATIENCE)

    async def published(self) -> None:
        """Return once the relay has confirmed all events that the log has now."""
        head = await self.log.head()
        async with asyncio.timeout(PATIENCE):
            while True:
                checkpoint = await Checkpoints(self.engine).read(CHECKPOINT)
                if checkpoint is not None and checkpoint.position >= head:
                    return
                await asyncio.sleep(_LOOK_SECONDS)

    async def types(self, event_id: UUID) -> list[str]:
        """The types of a stream's events, in order."""
        return [recorded.type async for recorded in self.log.read_stream(event_id)]

    async def rows(self, view: str, event_id: UUID) -> list[dict[str, object]]:
        """The rows of one view for one event, in a stable order."""
        return await rows(self.engine, view, event_id)


async def rows(engine: AsyncEngine, view: str, event_id: UUID) -> list[dict[str, object]]:
    """The rows of one public view for one event, in a stable order."""
    assert view in VIEWS
    async with engine.connect() as connection:
        found = await connection.execute(
            text(f"SELECT v.* FROM spreaview.{view} v WHERE spreaview_event_id = :event"),
            {"event": event_id},
        )
        return sorted((dict(row._mapping) for row in found), key=repr)


@asynccontextmanager
async def the_line(
    kafka: str | KafkaConnection,
    database_url: str,
    *,
    transactions: bool = False,
    roles: Role = Role.WORKER | Role.PROJECTOR,
    **settings: object,
) -> AsyncIterator[Line]:
    """Worker, relay and projector, running in this process.

    Args:
        roles: the services that run.
        transactions: what the broker can do; Apache Kafka has them, the sandbox's broker has not.
        settings: where they differ from the usual ones.
    """
    connection = KafkaConnection(kafka) if isinstance(kafka, str) else kafka
    async with (
        sessionize_double(Documents()) as double,
        database(database_url, pool_size=4) as engine,
        producing(connection) as producer,
    ):
        addresses = Addresses(database_url, connection, double.base_url, transactions)
        usual = Settings(database_pool=8, relay_poll_seconds=0.2, sweep_seconds=0.5)
        chosen = usual.model_copy(update=settings)
        async with running(roles, chosen, addresses) as background:
            try:
                yield Line(addresses, engine, double, producer)
            finally:  # if a service has ended, its error is the reason of the test's failure
                if background.done():
                    background.result()
