"""A sync by hand, in one process: fetch, decode, encode, hash, one append, one upsert per table.

It knows no requests, windows, guards or failures, and decides nothing: it writes the events of an
earlier sync of ours again, for another SpreaView event.
"""

import hashlib
from uuid import uuid4

import asyncpg
import httpx
import msgspec

from tests.benchmarks import plain_projection

RECORDED = """
    SELECT e.stream_id, e.version, e.position, e.type, e.data::text, p.body::text, e.recorded_at
    FROM event_store.events e LEFT JOIN event_store.personal_data p USING (message_id)
    WHERE e.stream_id = $1 AND e.version > $2 ORDER BY e.version
"""
"""The events of a stream after a version."""

_INSERT = """
    INSERT INTO event_store.events
        (stream_id, version, message_id, type, schema_version, data, metadata, recorded_at, hash)
    SELECT $1, e.version, e.message_id, e.type, 1, e.data, '{}', clock_timestamp(), e.hash
    FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::jsonb[], $6::bytea[])
         AS e (version, message_id, type, data, hash)
"""


class PlainSync:
    """Syncs one SpreaView event in one process; `rows` are the events that a sync must write."""

    def __init__(
        self, url: str, connection: asyncpg.Connection, rows: list[asyncpg.Record]
    ) -> None:
        self._url = url
        self._connection = connection
        self._rows = rows
        self._before: object = None

    async def sync(self, client: httpx.AsyncClient) -> None:
        """Fetch the schedule, and write events and rows of a new SpreaView event."""
        document = msgspec.json.decode((await client.get(self._url)).content)
        _ = document == self._before
        self._before = document
        stream = uuid4()
        data = [msgspec.json.encode(msgspec.json.decode(row[4])).decode() for row in self._rows]
        link = bytes(32)
        links = [link := hashlib.sha256(link + one.encode()).digest() for one in data]
        async with self._connection.transaction():
            await self._connection.execute(
                _INSERT,
                stream,
                [row[1] for row in self._rows],
                [uuid4() for _ in self._rows],
                [row[3] for row in self._rows],
                data,
                links,
            )
        ids = {str(self._rows[0][0]): str(stream)}
        rows = [
            (stream, row[1], row[2], row[3], _renamed(row[4], ids), row[5], row[6])
            for row in self._rows
        ]
        await plain_projection.apply(self._connection, rows)


def _renamed(data: str, ids: dict[str, str]) -> str:
    for old, new in ids.items():
        data = data.replace(old, new)
    return data
