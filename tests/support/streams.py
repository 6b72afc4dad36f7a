"""Small streams for tests of the projections: append, project, break, fix and restore them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import (
    RoomImported,
    SyncCompleted,
    SyncStarted,
)
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from projections.projector import Projector
from projections.status import StoppedStream, projections_status
from tests.support.line import VIEWS, rows
from tests.support.processes import PATIENCE

STARTED = next(event for event in samples.EVENTS if isinstance(event, SyncStarted))
ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
COMPLETED = next(event for event in samples.EVENTS if isinstance(event, SyncCompleted))

BREAK = (
    "UPDATE event_store.events SET data = data - 'name' WHERE stream_id = :stream AND data ? 'name'"
)
FIX = """
    UPDATE event_store.events SET data = data || '{"name": "run 1"}'
    WHERE stream_id = :stream AND type = 'RoomImported'
"""


async def append_started(engine: AsyncEngine, organization_id: UUID | None = None) -> int:
    """Append an event to a new stream; return its position."""
    stream_id = uuid4()
    event = replace(
        STARTED,
        sync_id=uuid4(),
        spreaview_event_id=stream_id,
        organization_id=organization_id or STARTED.organization_id,
    )
    appended = await EventLog(engine).append(Commit(stream_id, 0, [NewEvent(uuid4(), event)]))
    return appended.position


async def append_run(log: EventLog, stream: UUID, number: int) -> None:
    """Append a run that names the only room after the run."""
    sync_id = uuid4()
    facts: dict[str, Any] = {"sync_id": sync_id, "spreaview_event_id": stream}
    room = replace(ROOM, **facts, name=f"run {number}")
    version = 3 * (number - 1)
    await log.append(Commit(stream, version, [NewEvent(uuid4(), replace(STARTED, **facts))]))
    events = [NewEvent(uuid4(), room), NewEvent(uuid4(), replace(COMPLETED, **facts))]
    await log.append(Commit(stream, version + 1, events))


def a_projector(engine: AsyncEngine, code_version: str = "mine") -> Projector:
    return Projector(engine, sweep_seconds=60, code_version=code_version)


async def two_runs(engine: AsyncEngine, log: EventLog) -> UUID:
    """Append and apply two runs; return the stream; it is at version 6."""
    stream = uuid4()
    for number in (1, 2):
        await append_run(log, stream, number)
    await a_projector(engine).catch_up([stream])
    return stream


async def stopped_stream(engine: AsyncEngine, log: EventLog) -> UUID:
    stream = uuid4()
    await append_run(log, stream, 1)
    await change_log(engine, BREAK, stream=stream)
    await Projector(engine, sweep_seconds=60, code_version="old").catch_up([stream])
    return stream


async def the_stopped(engine: AsyncEngine) -> StoppedStream:
    (stopped,) = (await projections_status(engine)).stopped
    return stopped


async def change_log(engine: AsyncEngine, *statements: str, stream: UUID) -> None:
    """Run statements on the log that only a superuser may run."""
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_store.events DISABLE TRIGGER USER"))
        for statement in statements:
            await connection.execute(text(statement), {"stream": stream})
        await connection.execute(
            text("ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only")
        )


async def restore_to(engine: AsyncEngine, stream: UUID, version: int) -> None:
    await change_log(
        engine,
        f"DELETE FROM event_store.events WHERE stream_id = :stream AND version > {version}",
        f"UPDATE event_store.streams SET version = {version} WHERE stream_id = :stream",
        stream=stream,
    )


@contextmanager
def sweeping(*projectors: Projector) -> Iterator[None]:
    tasks = [asyncio.create_task(projector.sweep()) for projector in projectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def until_applied(engine: AsyncEngine, stream: UUID, version: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await rows(engine, "stream_progress", stream)
            if found and found[0]["version"] == version:
                return
            await asyncio.sleep(0.01)


async def dump(engine: AsyncEngine, stream: UUID) -> dict[str, list[dict[str, object]]]:
    return {view: await rows(engine, view, stream) for view in VIEWS if view != "speakers"}
