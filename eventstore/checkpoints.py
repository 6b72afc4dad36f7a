"""Checkpoints: the last event that a reader of the log has processed.

A checkpoint names the log and the event as well as the position, so that a reader notices when it
faces another log, or a restored one. A leader writes them: `eventstore.leadership.Leader.write`.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.driver import driver_connection

READ_CHECKPOINT = text("""
    SELECT log_id, position, message_id FROM event_store.checkpoints WHERE name = :name
""")

DELETE_CHECKPOINT = text("DELETE FROM event_store.checkpoints WHERE name = :name")

UNPUBLISHED = text("""
    SELECT position, message_id, reason, since FROM event_store.unpublished ORDER BY position
""")

# `eventstore.leadership.Leader` executes the following statements on its own asyncpg connection.

WRITE_CHECKPOINT = """
    INSERT INTO event_store.checkpoints (name, log_id, position, message_id)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE
    SET log_id = EXCLUDED.log_id, position = EXCLUDED.position,
        message_id = EXCLUDED.message_id, updated_at = now()
"""

KEEP_UNPUBLISHED = """
    INSERT INTO event_store.unpublished (position, message_id, reason) VALUES ($1, $2, $3)
    ON CONFLICT (position) DO UPDATE SET reason = EXCLUDED.reason, since = now()
"""

FORGET_UNPUBLISHED = "DELETE FROM event_store.unpublished WHERE position > $1"

RENAME_LOG = f"""
    WITH renamed AS (UPDATE event_store.log SET log_id = $2)
    {WRITE_CHECKPOINT}
"""  # noqa: S608 (of constants)


class Checkpoint(NamedTuple):
    """The last event that a reader has processed."""

    log_id: UUID
    position: int
    message_id: UUID


class Unpublished(NamedTuple):
    """An event in the log that the broker refused because of its size."""

    position: int
    message_id: UUID
    reason: str
    since: datetime


class Checkpoints:
    """Checkpoints by name, in the database of the log."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, name: str) -> Checkpoint | None:
        """Return the checkpoint, or None for a reader that starts at the beginning."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(READ_CHECKPOINT, {"name": name})).one_or_none()
        return None if row is None else Checkpoint(*row)

    async def write(self, name: str, checkpoint: Checkpoint) -> None:
        """Write a checkpoint that no leader owns."""
        async with driver_connection(self._engine) as driver:
            await driver.execute(WRITE_CHECKPOINT, name, *checkpoint)

    async def reset(self, name: str) -> None:
        """Delete the checkpoint: its reader starts at the beginning."""
        async with self._engine.begin() as connection:
            await connection.execute(DELETE_CHECKPOINT, {"name": name})


async def read_unpublished(connection: AsyncConnection) -> list[Unpublished]:
    """Return the events that readers of the log passed over, by position."""
    return [Unpublished(*row) for row in await connection.execute(UNPUBLISHED)]
