"""A long history needs as little memory as a short one."""

import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.read_models import read_models_at
from audit.explain.explain import explain
from audit.past.entities import EntityQuery
from audit.past.moments import Moment
from audit.past.runs import runs
from audit.past.timeline import timeline
from audit.verify.reimport import reimport
from contracts import identity, samples
from contracts.events import ImportEvent, SessionImported, SyncCompleted, SyncStarted
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.read import PAGE

pytestmark = pytest.mark.asyncio

(STARTED,) = [event for event in samples.EVENTS if isinstance(event, SyncStarted)]
SESSION = next(event for event in samples.EVENTS if isinstance(event, SessionImported))
(COMPLETED,) = [event for event in samples.EVENTS if isinstance(event, SyncCompleted)]
SHORT, LONG = 2 * PAGE, 8 * PAGE


async def lived(log: EventLog, events: int) -> UUID:
    """A stream of runs that each change the one session; a run has three events."""
    stream = uuid4()
    version = 0
    while version < events:
        new: list[NewEvent] = []
        for number in range(200):
            sync_id = uuid4()
            facts: dict[str, Any] = {"sync_id": sync_id, "spreaview_event_id": stream}
            session = msgspec.structs.replace(
                SESSION,
                **facts,
                session_id=identity.session_id(stream, SESSION.sessionize_id),
                title=f"Title {version} {number}",
            )
            run: list[ImportEvent] = [msgspec.structs.replace(STARTED, **facts), session]
            run.append(msgspec.structs.replace(COMPLETED, **facts))
            names: tuple[int | str, ...] = (0, 1, identity.OUTCOME)
            new += [
                NewEvent(identity.message_id(sync_id, name), event)
                for name, event in zip(names, run, strict=True)
            ]
        version = (await log.append(Commit(stream, version, new))).version
    return stream


async def peak(work: Callable[[UUID], Awaitable[None]], stream: UUID) -> int:
    """The peak memory of the work, in bytes."""
    tracemalloc.start()
    try:
        await work(stream)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_memory_does_not_grow_with_the_history(engine: AsyncEngine) -> None:
    log = EventLog(engine)
    streams = [await lived(log, events) for events in (SHORT, LONG)]

    async def read_timeline(stream: UUID) -> None:
        async for _ in timeline(log, stream, EntityQuery("session", SESSION.sessionize_id)):
            pass

    async def list_runs(stream: UUID) -> None:
        async for _ in runs(log, stream):
            pass

    async def explain_session(stream: UUID) -> None:
        await explain(log, stream, "session", SESSION.sessionize_id)

    async def decide_again(stream: UUID) -> None:
        async for _ in reimport(log, stream):
            pass

    for work in (read_timeline, list_runs, explain_session, decide_again):
        await work(streams[0])  # create decoders and other objects that are made once
        short, long = [await peak(work, stream) for stream in streams]
        assert long < 1.5 * short, (work.__name__, short, long)
    assert len((await read_models_at(log, streams[1], Moment())).runs) >= LONG // 3
