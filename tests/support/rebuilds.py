"""Streams and helpers for tests of rebuilds."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import (
    RoomImported,
    SessionImported,
    SpeakerImported,
    SyncCompleted,
    SyncStarted,
)
from contracts.identity import session_code
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from projections.projector import Projector
from projections.rebuild.rebuild import (
    RebuildResult,
    rebuild,
    rollback,
)
from tests.support.line import VIEWS

SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}


async def append_sessions(log: EventLog, stream: UUID, run: int, sessions: int = 3) -> int:
    """Append a run that renames every entity of the stream; return the new version."""
    facts: dict[str, Any] = {"sync_id": uuid4(), "spreaview_event_id": stream}
    size = 2 * sessions + 3
    ids = [UUID(int=(stream.int + number) % 2**128) for number in range(1, 2 * sessions + 2)]
    room, speakers, talks = ids[0], ids[1 : sessions + 1], ids[sessions + 1 :]
    outcome = [
        replace(SAMPLES[RoomImported], **facts, room_id=room, name=f"run {run}"),
        *(replace(SAMPLES[SpeakerImported], **facts, speaker_id=s, bio=f"{run}") for s in speakers),
        *(
            replace(
                SAMPLES[SessionImported],
                **facts,
                session_id=talk,
                session_code=session_code(talk),
                sessionize_id=str(number),
                room_id=room,
                title=f"run {run}",
                speaker_ids=tuple(speakers[: 1 + (number + run) % 2]),
            )
            for number, talk in enumerate(talks)
        ),
        replace(SAMPLES[SyncCompleted], **facts),
    ]
    started = replace(SAMPLES[SyncStarted], **facts)
    await log.append(Commit(stream, size * (run - 1), [NewEvent(uuid4(), started)]))
    await log.append(Commit(stream, size * (run - 1) + 1, [NewEvent(uuid4(), e) for e in outcome]))
    return size * run


async def append_runs(log: EventLog, streams: int, runs: int) -> list[UUID]:
    ids = [uuid4() for _ in range(streams)]
    for number in range(1, runs + 1):
        await asyncio.gather(*(append_sessions(log, stream, number) for stream in ids))
    return ids


async def catch_up(engine: AsyncEngine, streams: list[UUID], code_version: str = "ours") -> None:
    projector = Projector(engine, sweep_seconds=60, code_version=code_version)
    await projector.catch_up(sorted(streams))


async def dump_all(engine: AsyncEngine) -> dict[str, list[str]]:
    """Return the rows of all views."""
    async with engine.connect() as connection:
        return {
            view: sorted(
                (
                    await connection.execute(
                        text(f"SELECT row_to_json(v)::text FROM spreaview.{view} v")
                    )
                ).scalars()
            )
            for view in VIEWS
        }


async def rebuild_quietly(engine: AsyncEngine, **options: Any) -> RebuildResult:
    return await rebuild(
        engine, report_progress=lambda _: None, report_step=lambda _: None, **options
    )


async def rollback_quietly(engine: AsyncEngine, **options: Any) -> RebuildResult:
    return await rollback(
        engine, report_progress=lambda _: None, report_step=lambda _: None, **options
    )
