"""Rebuilding: events per second into a new generation, and the memory of the process.

    python -m tests.benchmarks.rebuild [EVENTS]

The log is one of many conferences that were imported and then changed run by run, copied straight
into the tables of a PostgreSQL of its own (fsync off, so that the program is measured and not the
disk). The rebuild is the command, in a process of its own.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psutil
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.postgres import postgres
from contracts import samples
from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, take_apart
from contracts.events import (
    ImportEvent,
    RoomImported,
    SessionImported,
    SpeakerImported,
    SyncCompleted,
    SyncStarted,
)
from contracts.identity import session_code
from eventstore.migrate import migrate
from projections.generations import prepare
from tests.support.processes import COMMAND, ROOT, environment

SESSIONS, ROOMS, RUNS, CHANGED = 60, 5, 10, 8

_SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}


def conference() -> Iterator[list[ImportEvent]]:
    """The outcomes of one SpreaView event: an import, then runs that change some sessions."""
    event_id, organization = uuid4(), uuid4()
    rooms, speakers, sessions = ([uuid4() for _ in range(n)] for n in (ROOMS, SESSIONS, SESSIONS))
    for run in range(RUNS):
        facts = {
            "sync_id": uuid4(),
            "spreaview_event_id": event_id,
            "organization_id": organization,
        }
        outcome: list[ImportEvent] = []
        if run == 0:
            for sort, room in enumerate(rooms):
                outcome.append(replace(_SAMPLES[RoomImported], **facts, room_id=room, sort=sort))
            for speaker in speakers:
                outcome.append(replace(_SAMPLES[SpeakerImported], **facts, speaker_id=speaker))
        for number in range(SESSIONS) if run == 0 else range(run, run + CHANGED):
            outcome.append(
                replace(
                    _SAMPLES[SessionImported],
                    **facts,
                    session_id=sessions[number],
                    session_code=session_code(sessions[number]),
                    sessionize_id=str(number),
                    title=f"Session {number} as of run {run}",
                    room_id=rooms[number % ROOMS],
                    speaker_ids=(speakers[number],),
                )
            )
        yield [replace(_SAMPLES[SyncStarted], **facts)]
        yield [*outcome, replace(_SAMPLES[SyncCompleted], **facts)]


class Loaded:
    """Rows for COPY: events of many streams whose runs take turns."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.personal: list[tuple[object, ...]] = []
        self.versions: dict[UUID, int] = {}

    def add(self, events: list[ImportEvent]) -> None:
        now = datetime.now(UTC)
        for event in events:
            stream = cast("Any", event).spreaview_event_id
            plain, message_id = take_apart(event), uuid4()
            if plain.personal is not None:
                plain.data[PERSONAL_KEY] = {"digest": "0" * 64}
                self.personal.append(
                    (message_id, plain.personal.subject, b"s" * 16, plain.personal.body.decode())
                )
            version = self.versions[stream] = self.versions.get(stream, 0) + 1
            data = canonical(plain.data).decode()
            self.events.append(
                (stream, version, message_id, plain.type, plain.schema_version, data, "{}", now,
                 bytes(32))
            )  # fmt: skip


EVENT_COLUMNS = (
    "stream_id", "version", "message_id", "type", "schema_version", "data", "metadata",
    "recorded_at", "hash",
)  # fmt: skip


async def load(engine: AsyncEngine, events: int) -> int:
    """A log of at least so many events, in position order run by run; how many there are."""
    total = 0
    while total < events:
        loaded = Loaded()
        for step in zip(*(conference() for _ in range(50)), strict=True):
            for outcome in step:
                loaded.add(outcome)
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            driver = cast("Any", (await connection.get_raw_connection()).driver_connection)
            await driver.copy_records_to_table(
                "events", schema_name="event_store", columns=EVENT_COLUMNS, records=loaded.events
            )
            await driver.copy_records_to_table(
                "personal_data",
                schema_name="event_store",
                columns=("message_id", "subject", "salt", "body"),
                records=loaded.personal,
            )
            await driver.copy_records_to_table(
                "streams",
                schema_name="event_store",
                columns=("stream_id", "version"),
                records=list(loaded.versions.items()),
            )
        total += len(loaded.events)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE"))
    return total


async def rebuild(url: str, what: str, events: int) -> None:
    """Run the command and say how fast it was and how large it became."""
    began, peak = time.perf_counter(), 0
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "projections",
        "rebuild",
        env=environment(database_url=url),
        cwd=ROOT,
    )
    watched = psutil.Process(process.pid)
    while process.returncode is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        await asyncio.sleep(0.05)
    code = await process.wait()
    seconds = time.perf_counter() - began
    print(
        f"{what}: exit {code}, {seconds:.1f} s, {events / seconds:,.0f} events/s over all, "
        f"peak {peak / 2**20:.0f} MiB",
        flush=True,
    )


async def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        settings = {"fsync": "off", "max_wal_size": "4GB"}
        async with (
            postgres(Path(folder) / "data", settings=settings) as url,
            database(url, pool_size=4) as engine,
        ):
            await migrate(engine)
            await prepare(engine)
            total = await load(engine, events)
            print(f"a log of {total:,} events on {os.cpu_count()} cores", flush=True)
            await rebuild(url, "first rebuild, beside an empty generation", total)
            await rebuild(url, "second rebuild, with a parity proof of all", total)


if __name__ == "__main__":
    asyncio.run(main())
