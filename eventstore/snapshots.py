"""Snapshots: the folded state of a stream, so that a sync need not read its whole history.

They are caches and may hold personal data. Holds the statements of
`event_store.snapshots`.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventstore.driver import Executor
from eventstore.model import Snapshot

PUT_SNAPSHOT = text("""
    INSERT INTO event_store.snapshots (stream_id, version, fold_version, body)
    VALUES (:stream_id, :version, :fold_version, :body)
    ON CONFLICT (stream_id) DO UPDATE SET
        version = EXCLUDED.version, fold_version = EXCLUDED.fold_version, body = EXCLUDED.body
""")

# Ignores a snapshot newer than the stream's head.
READ_SNAPSHOT = text("""
    SELECT p.version, p.fold_version, p.body
    FROM event_store.snapshots p
    JOIN event_store.streams s ON s.stream_id = p.stream_id AND s.version >= p.version
    WHERE p.stream_id = :stream_id AND p.fold_version = :fold_version
""")

DELETE_SNAPSHOTS = text("""
    DELETE FROM event_store.snapshots WHERE stream_id = ANY(CAST(:stream_ids AS uuid[]))
""")


async def put_snapshot(connection: Executor, stream_id: UUID, snapshot: Snapshot) -> None:
    """Store a snapshot of a stream in place of the one before."""
    await connection.execute(PUT_SNAPSHOT, {"stream_id": stream_id, **snapshot._asdict()})


async def read_snapshot(
    connection: AsyncConnection, stream_id: UUID, fold_version: str
) -> Snapshot | None:
    """Return the snapshot of a stream, if this version of the fold made it."""
    found = await connection.execute(
        READ_SNAPSHOT, {"stream_id": stream_id, "fold_version": fold_version}
    )
    row = found.one_or_none()
    return None if row is None else Snapshot(*row)


async def delete_snapshots(connection: AsyncConnection, stream_ids: Sequence[UUID]) -> None:
    """Delete the snapshots of these streams."""
    await connection.execute(DELETE_SNAPSHOTS, {"stream_ids": stream_ids})
