"""A long log of many conferences, copied straight into the tables of the log."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

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

SESSIONS, ROOMS, RUNS, CHANGED = 60, 5, 10, 8


_SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}


def conference() -> Iterator[list[ImportEvent]]:
    """Yield the outcomes of one SpreaView event: an import, then runs that change some sessions."""
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
    """Rows for COPY: events of many streams whose runs alternate."""

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
    """Load at least `events` events, run by run; return how many were loaded."""
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


_AT_ONCE = 50
"""Conferences whose runs alternate."""

# New ids for the streams, events and runs; the ids within a SpreaView event stay the same.
_REPEAT = (
    """
    INSERT INTO event_store.streams (stream_id, version)
    SELECT md5(s.stream_id::text || $1)::uuid, s.version
    FROM event_store.streams s WHERE s.stream_id = ANY($2)
    """,
    """
    INSERT INTO event_store.events
        (stream_id, version, message_id, type, schema_version, data, metadata, recorded_at, hash)
    SELECT md5(e.stream_id::text || $1)::uuid, e.version, md5(e.message_id::text || $1)::uuid,
           e.type, e.schema_version,
           e.data || jsonb_build_object(
               'spreaview_event_id', md5(e.stream_id::text || $1)::uuid,
               'sync_id', md5((e.data ->> 'sync_id') || $1)::uuid),
           e.metadata, clock_timestamp(), e.hash
    FROM event_store.events e WHERE e.stream_id = ANY($2) ORDER BY e.position
    """,
    """
    INSERT INTO event_store.personal_data (message_id, subject, salt, body)
    SELECT md5(p.message_id::text || $1)::uuid, p.subject, p.salt, p.body
    FROM event_store.personal_data p WHERE p.message_id = ANY(ARRAY(
        SELECT e.message_id FROM event_store.events e WHERE e.stream_id = ANY($2)))
    """,
)


async def load_repeated(engine: AsyncEngine, events: int) -> int:
    """Load at least `events` events, run by run; return how many were loaded.

    The first conferences are copied from here, and the others from these, within the database:
    3,000,000 events take a few minutes on a quiet machine, and 4 GB.
    """
    loaded = Loaded()
    for step in zip(*(conference() for _ in range(_AT_ONCE)), strict=True):
        for outcome in step:
            loaded.add(outcome)
    async with engine.begin() as connection:
        driver = await _driver(connection)
        for table, columns, records in (
            ("events", EVENT_COLUMNS, loaded.events),
            ("personal_data", ("message_id", "subject", "salt", "body"), loaded.personal),
            ("streams", ("stream_id", "version"), list(loaded.versions.items())),
        ):
            await driver.copy_records_to_table(
                table, schema_name="event_store", columns=columns, records=records
            )
    repeats = -(-events // len(loaded.events)) - 1
    for number in range(1, repeats + 1):
        async with engine.begin() as connection:
            driver = await _driver(connection)
            for statement in _REPEAT:
                await driver.execute(statement, str(number), list(loaded.versions))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))  # before autovacuum does it
    return len(loaded.events) * (repeats + 1)


async def _driver(connection: AsyncConnection) -> Any:
    await connection.execute(text("SELECT 1"))  # begins the transaction
    return cast("Any", (await connection.get_raw_connection()).driver_connection)
