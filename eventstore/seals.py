"""Seals: heads of streams, published outside the database so that a rewritten log is noticed.

A hash chain reveals a changed event, but neither a cut tail nor a completely rewritten chain. So
the heads are published to a compacted topic from time to time, and can be archived elsewhere.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

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
    """The head of a stream at a point in time."""

    log_id: UUID
    stream_id: UUID
    version: int
    hash: str
    """Hash of that event in hex; it covers all events of the stream up to it."""
    position: int
    sealed_at: datetime


def encode_seal(seal: Seal) -> bytes:
    """Encode a seal as JSON."""
    return msgspec.json.encode(seal)


def decode_seal(body: bytes | str) -> Seal:
    """Decode what `encode_seal` wrote. Raises `ValueError` for anything else."""
    try:
        return msgspec.json.decode(body, type=Seal)
    except msgspec.DecodeError as error:
        raise ValueError(f"no seal: {error}") from error


async def heads(engine: AsyncEngine, log_id: UUID, *, after: int = 0) -> AsyncIterator[Seal]:
    """Yield current seals of the streams with events after a position."""
    while True:
        async with engine.connect() as connection:
            rows = (await connection.execute(_HEADS, {"after": after, "limit": _PAGE})).all()
        now = datetime.now(UTC)
        for row in rows:
            yield Seal(log_id, row.stream_id, row.version, row.hash.hex(), row.position, now)
        if len(rows) < _PAGE:
            return
        after = rows[-1].position
