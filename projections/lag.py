"""How far the read models are behind the log."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from projections import upkeep
from projections.generations import enter_live


class Lag(NamedTuple):
    """The streams that have events beyond their applied version, but for those that stopped."""

    streams: int
    stream_id: UUID | None
    """The one that has waited for longest."""
    version: int
    """What is applied of it."""
    seconds: float
    """Age of its first event that is not applied."""


async def oldest_lag(engine: AsyncEngine) -> Lag:
    """How many streams lag, and the oldest lag of all. Raises as `enter_live`."""
    async with engine.begin() as connection:
        await enter_live(connection)
        row = (await connection.execute(upkeep.OLDEST_LAG)).one_or_none()
    if row is None:
        return Lag(0, None, 0, 0.0)
    return Lag(row.streams, row.stream_id, row.version, row.age.total_seconds())
