"""Seals: where the streams' heads stood, kept where whoever can rewrite the database cannot.

A chain shows what was changed in it, but not that its tail was cut or that it was all made anew.
So from time to time the heads are published to a compacted topic, and can be kept elsewhere.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import LOG_SEALS
from messaging.reading import partitions_of, reading, to_the_end

_HEADS = text("""
    SELECT e.stream_id, e.version, e.hash, e.position
    FROM event_store.streams s
    JOIN event_store.events e ON e.stream_id = s.stream_id AND e.version = s.version
    WHERE e.position > :after
    ORDER BY e.position
    LIMIT :limit
""")
_PAGE = 1000


class Seal(msgspec.Struct, frozen=True):
    """One stream's head at a moment."""

    log_id: UUID
    stream_id: UUID
    version: int
    hash: str
    """Of that event, in hex: it stands for every event of the stream up to it."""
    position: int
    sealed_at: datetime


async def heads(engine: AsyncEngine, log_id: UUID, *, after: int = 0) -> AsyncIterator[Seal]:
    """Seals of the streams that have events beyond a position, as they stand now."""
    while True:
        async with engine.connect() as connection:
            rows = (await connection.execute(_HEADS, {"after": after, "limit": _PAGE})).all()
        now = datetime.now(UTC)
        for row in rows:
            yield Seal(log_id, row.stream_id, row.version, row.hash.hex(), row.position, now)
        if len(rows) < _PAGE:
            return
        after = rows[-1].position


async def published_seals(bootstrap_servers: str) -> list[Seal]:
    """The newest seal of every stream on the topic. Raises aiokafka.errors.KafkaError."""
    newest: dict[bytes, Seal] = {}
    async with reading(bootstrap_servers) as reader:
        partitions = await partitions_of(reader, LOG_SEALS)
        async for record in to_the_end(reader, partitions):
            if record.key and record.value:
                newest[record.key] = msgspec.json.decode(record.value, type=Seal)
    return list(newest.values())


def lines(seals: Iterable[Seal]) -> Iterator[str]:
    """One seal per line, as JSON."""
    for seal in seals:
        yield msgspec.json.encode(seal).decode() + "\n"


def read_lines(path: Path) -> Iterator[Seal]:
    """The seals of a file that `lines` made.

    Raises:
        ValueError: a line is none; it is named.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield msgspec.json.decode(line, type=Seal)
            except (msgspec.ValidationError, msgspec.DecodeError, json.JSONDecodeError) as error:
                raise ValueError(f"{path}: line {number} is no seal: {error}") from error
