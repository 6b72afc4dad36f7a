"""Repair: the rows of one stream made anew from the log, in one transaction."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import statements, upkeep
from projections.generations import enter_live
from projections.projector import apply_next


class Repaired(NamedTuple):
    """What a repair came to."""

    stream_id: UUID
    before: Mapping[str, int]
    """Rows by table."""
    after: Mapping[str, int]
    version: int
    """What is applied now; 0 where the log does not know the stream, and nothing is left of it."""


async def repair(engine: AsyncEngine, stream_id: UUID) -> Repaired:
    """Make the rows of a stream anew, whatever they are now and whether it had stopped.

    Readers see the old rows or the new, nothing between. Projectors wait for the stream meanwhile.

    Raises:
        Exception: what an event's projection raises; then nothing has changed.
    """
    wanted = {"stream_ids": [stream_id]}
    async with engine.begin() as connection:
        await enter_live(connection)
        await connection.execute(statements.CREATE_PROGRESS, wanted)
        await connection.execute(upkeep.HOLD_PROGRESS, {"stream_id": stream_id})
        before = await _count(connection, stream_id)
        await connection.execute(upkeep.CLEAR_STREAM, {"stream_id": stream_id})
        await connection.execute(upkeep.BEGIN_ANEW, {"stream_id": stream_id})
        while await apply_next(connection, [stream_id]):
            pass
        after = await _count(connection, stream_id)
        found = await connection.execute(upkeep.FORGET_UNKNOWN, {"stream_id": stream_id})
        version = found.scalar_one()
    return Repaired(stream_id, before, after, version)


async def _count(connection: AsyncConnection, stream_id: UUID) -> Mapping[str, int]:
    row = (await connection.execute(upkeep.COUNT_ROWS, {"stream_id": stream_id})).one()
    return dict(row._mapping)  # noqa: SLF001 (that is its public name)
