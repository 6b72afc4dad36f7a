"""Checkpoints: how far a reader of the log has come, in words that a restored log contradicts."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import statements


class Checkpoint(NamedTuple):
    """The last event that a reader has done with."""

    log_id: UUID
    position: int
    message_id: UUID


class Checkpoints:
    """Checkpoints by name, in the database of the log. A leader writes them: `Leader.write`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, name: str) -> Checkpoint | None:
        """The checkpoint, or None for a reader that has to begin at the beginning."""
        async with self._engine.connect() as connection:
            row = (
                await connection.execute(statements.READ_CHECKPOINT, {"name": name})
            ).one_or_none()
        return None if row is None else Checkpoint(*row)

    async def reset(self, name: str) -> None:
        """Forget it: the reader begins at the beginning."""
        async with self._engine.begin() as connection:
            await connection.execute(statements.DELETE_CHECKPOINT, {"name": name})
