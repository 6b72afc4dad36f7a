"""The stored log, read with plain SQL."""

import json
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

_EVENTS = """
    SELECT e.position, e.stream_id, e.version, e.message_id, e.type, e.schema_version,
           e.data::text AS data, e.metadata::text AS metadata, e.recorded_at, e.hash,
           p.body::text AS personal
    FROM event_store.events e LEFT JOIN event_store.personal_data p USING (message_id)
    ORDER BY e.position
"""

_RELAYED = "SELECT coalesce(max(position), 0) FROM event_store.checkpoints WHERE name = 'relay'"


class Event(NamedTuple):
    """A row of the log."""

    position: int
    stream_id: UUID
    version: int
    message_id: UUID
    type: str
    schema_version: int
    stored: dict[str, Any]
    """`data` as stored."""
    metadata: dict[str, Any]
    recorded_at: datetime
    hash: bytes
    data: dict[str, Any]
    """`data` with its personal fields."""

    @property
    def sync_id(self) -> UUID:
        """The run of the event."""
        return UUID(self.data["sync_id"])


class Log(NamedTuple):
    """The contents of the event store."""

    events: list[Event]
    """Events in the order of their positions."""
    heads: dict[UUID, int]
    """Version of each stream, from the table of streams."""
    relayed: int
    """The relay's checkpoint: the position up to which it reports every event as published."""

    def streams(self) -> dict[UUID, list[Event]]:
        """Return the events by stream, in the order of their positions."""
        found: dict[UUID, list[Event]] = defaultdict(list)
        for event in self.events:
            found[event.stream_id].append(event)
        return dict(found)


async def read_log(connection: asyncpg.Connection) -> Log:
    """Read the log in one transaction."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(_EVENTS)
        heads = await connection.fetch("SELECT stream_id, version FROM event_store.streams")
        relayed = await connection.fetchval(_RELAYED)
    return Log(
        [_event(row) for row in rows], {row["stream_id"]: row["version"] for row in heads}, relayed
    )


def _event(row: asyncpg.Record) -> Event:
    stored = json.loads(row["data"])
    personal = json.loads(row["personal"]) if row["personal"] else {}
    data = {name: value for name, value in stored.items() if name != "personal"} | personal
    return Event(
        position=row["position"],
        stream_id=row["stream_id"],
        version=row["version"],
        message_id=row["message_id"],
        type=row["type"],
        schema_version=row["schema_version"],
        stored=stored,
        metadata=json.loads(row["metadata"]),
        recorded_at=row["recorded_at"],
        hash=row["hash"],
        data=data,
    )
