"""Projecting by hand: read rows, COPY them into temporary tables, and upsert each table once.

It knows no stopped streams, skips, erasures, withdrawals or generations, announces nothing, and
decodes each event to the fields that the rows need.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from contracts.events import (
    RoomImported,
    SessionImported,
    SpeakerImported,
    SyncCompleted,
    SyncStarted,
)

_decoders = {
    kind.__name__: msgspec.json.Decoder(kind)
    for kind in (RoomImported, SessionImported, SpeakerImported, SyncCompleted, SyncStarted)
}
_TABLES = {
    "sync_runs": (
        ("sync_id", "spreaview_event_id", "organization_id", "status", "position", "counts"),
        ("sync_id",),
    ),
    "rooms": (
        ("spreaview_event_id", "room_id", "sessionize_id", "name", "sort", "status", "position"),
        ("spreaview_event_id", "room_id"),
    ),
    "event_speakers": (
        ("spreaview_event_id", "organization_id", "speaker_id", "sessionize_id", "first_name",
         "last_name", "full_name", "tag_line", "bio", "profile_picture", "links",
         "is_top_speaker", "status", "position"),
        ("spreaview_event_id", "speaker_id"),
    ),
    "sessions": (
        ("spreaview_event_id", "session_id", "session_code", "sessionize_id", "title", "abstract",
         "room_id", "starts_at", "ends_at", "is_service_session", "is_plenum_session", "live_url",
         "recording_url", "topics", "status", "position"),
        ("spreaview_event_id", "session_id"),
    ),
    "session_speakers": (
        ("spreaview_event_id", "session_id", "speaker_id", "ordinal"),
        ("spreaview_event_id", "session_id", "speaker_id"),
    ),
    "stream_progress": (
        ("spreaview_event_id", "version", "position"), ("spreaview_event_id",),
    ),
}  # fmt: skip
"""Columns and key of each table."""


def _upsert(table: str) -> str:
    columns, key = _TABLES[table]
    others = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name not in key)
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM new_{table} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {others}"
    )


_UPSERTS = {table: _upsert(table) for table in _TABLES}


async def prepare(connection: asyncpg.Connection, schema: str) -> None:
    """Choose the schema of the read models and create the temporary tables."""
    await connection.execute(f"SET search_path TO {schema}")
    for table in _TABLES:
        await connection.execute(
            f"CREATE TEMP TABLE new_{table} (LIKE {schema}.{table}) ON COMMIT DELETE ROWS"
        )
        # The real table has the constraints.
        columns = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 "
            "AND attnotnull",
            f"pg_temp.new_{table}",
        )
        for column in columns:
            await connection.execute(
                f"ALTER TABLE new_{table} ALTER COLUMN {column[0]} DROP NOT NULL"
            )


async def apply(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """Write a page of rows (stream, version, position, type, data, personal) in a transaction."""
    tables = _rows(rows)
    async with connection.transaction():
        for table, values in tables.items():
            if values:
                await connection.copy_records_to_table(
                    f"new_{table}", columns=_TABLES[table][0], records=values
                )
                await connection.execute(_UPSERTS[table])


def _rows(rows: list[asyncpg.Record]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, dict[object, tuple[Any, ...]]] = {table: {} for table in _TABLES}
    links: dict[UUID, list[tuple[Any, ...]]] = {}
    for stream, version, position, kind, data, personal, at in rows:
        found["stream_progress"][stream] = (stream, version, position)
        if kind not in _decoders:
            continue
        event = _decoders[kind].decode(data if personal is None else f"{data[:-1]},{personal[1:]}")
        match event:
            case SyncStarted() | SyncCompleted():
                found["sync_runs"][event.sync_id] = _run(event, position, at)
            case RoomImported(room_id=key):
                found["rooms"][key] = (
                    stream, key, event.sessionize_id, event.name, event.sort, "imported", position
                )  # fmt: skip
            case SpeakerImported(speaker_id=key):
                links_json = msgspec.json.encode(event.links).decode()
                found["event_speakers"][stream, key] = (
                    stream, event.organization_id, key, event.sessionize_id, event.first_name,
                    event.last_name, event.full_name, event.tag_line, event.bio,
                    event.profile_picture, links_json, event.is_top_speaker, "imported", position,
                )  # fmt: skip
            case SessionImported(session_id=key):
                topics = msgspec.json.encode(event.topics).decode()
                found["sessions"][key] = (
                    stream, key, event.session_code, event.sessionize_id, event.title,
                    event.abstract, event.room_id, event.starts_at, event.ends_at,
                    event.is_service_session, event.is_plenum_session, event.live_url,
                    event.recording_url, topics, "scheduled", position,
                )  # fmt: skip
                links[key] = [
                    (stream, key, speaker, n) for n, speaker in enumerate(event.speaker_ids, 1)
                ]
    tables = {table: list(values.values()) for table, values in found.items()}
    tables["session_speakers"] = [row for rows_of_one in links.values() for row in rows_of_one]
    return tables


def _run(event: SyncStarted | SyncCompleted, position: int, _: datetime) -> tuple[Any, ...]:
    if isinstance(event, SyncStarted):
        values: tuple[str, str | None] = ("running", None)
    else:
        values = ("completed", msgspec.json.encode(event.counts).decode())
    return (event.sync_id, event.spreaview_event_id, event.organization_id, values[0], position,
            values[1])  # fmt: skip
