"""The hints of the log: a projector applies events before their Kafka records come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import DatabaseAddress, plain_connection
from eventstore.log import EventLog
from projections.hints import LogHints
from projections.prepare import prepare
from projections.projector import Projector
from tests.support.rebuilds import append_sessions

pytestmark = pytest.mark.asyncio

PATIENCE = 30.0
VERSION = text("SELECT version FROM spreaview.stream_progress WHERE spreaview_event_id = :stream")


class ReaderOf(Projector):
    """A projector that Kafka has given one stream, and that notes what it catches up."""

    def __init__(self, engine: AsyncEngine, stream: UUID) -> None:
        super().__init__(engine, sweep_seconds=600)
        self.stream = stream
        self.caught_up: set[UUID] = set()

    def reads(self, stream_id: UUID) -> bool:
        return stream_id == self.stream

    async def catch_up(self, stream_ids: Sequence[UUID]) -> None:
        self.caught_up |= set(stream_ids)
        await super().catch_up(stream_ids)


@asynccontextmanager
async def following(
    engine: AsyncEngine, database_url: str, projector: Projector
) -> AsyncIterator[None]:
    """Follow the hints of the log while the block runs; the block starts at the log's head."""
    started = asyncio.Event()

    class Known(LogHints):
        async def _next(self, after: int) -> tuple[int, Sequence[UUID]]:
            started.set()
            return await super()._next(after)

    hints = Known(engine, projector, partial(plain_connection, DatabaseAddress(database_url)))
    tasks = [asyncio.create_task(work) for work in (hints.listen(), hints.follow())]
    try:
        await started.wait()
        yield
        for task in tasks:
            assert not task.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def visible(engine: AsyncEngine, stream: UUID, version: int) -> None:
    """Wait until the read models show a version."""
    async with asyncio.timeout(PATIENCE), engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while (await connection.execute(VERSION, {"stream": stream})).scalar() != version:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_events_become_visible_without_kafka(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    await prepare(engine)
    stream = uuid4()
    async with following(engine, database_url, ReaderOf(engine, stream)):
        for run in range(1, 4):
            version = await append_sessions(log, stream, run)
            await visible(engine, stream, version)


async def test_a_projector_leaves_the_streams_of_other_partitions_alone(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    await prepare(engine)
    first, second = uuid4(), uuid4()
    ours, other = ReaderOf(engine, first), ReaderOf(engine, second)
    async with (
        following(engine, database_url, ours),
        following(engine, database_url, other),
    ):
        versions = [await append_sessions(log, stream, 1) for stream in (first, second)]
        await visible(engine, first, versions[0])
        await visible(engine, second, versions[1])

    assert (ours.caught_up, other.caught_up) == ({first}, {second})


async def test_a_projector_without_partitions_reads_no_stream(engine: AsyncEngine) -> None:
    assert not Projector(engine, sweep_seconds=60).reads(uuid4())
