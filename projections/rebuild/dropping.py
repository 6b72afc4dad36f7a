"""Drop generations of read models that nobody needs any more; the live one is never dropped."""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections.generations import (
    Generation,
    GenerationsError,
    drop,
    list_generations,
    maintenance_lock,
)


async def drop_generations(engine: AsyncEngine, number: int | None) -> list[int]:
    """Drop one generation, or all filled ones that are not live; return the dropped numbers.

    Raises:
        GenerationsError: the generation does not exist or is live, a rebuild is running, or other
            transactions held the generations all the time.
    """
    async with maintenance_lock(engine):
        if number is None:
            return await drop_old(engine, 0)
        async with engine.begin() as connection:
            named = [g for g in await list_generations(connection) if g.number == number]
        if not named:
            raise GenerationsError(
                f"there is no generation {number}; spreaview-sync projections generations lists "
                "them"
            )
        await drop(engine, named)
        return [number]


async def drop_old_generations(engine: AsyncEngine, keep: int) -> list[int]:
    """Drop all filled generations that are not live but the `keep` newest; return the numbers.

    Raises:
        GenerationsError: a rebuild is running, or other transactions held the generations all the
            time.
    """
    async with maintenance_lock(engine):
        return await drop_old(engine, keep)


async def old_generations(connection: AsyncConnection) -> list[int]:
    """Return the numbers of the filled generations that are not live, the newest first."""
    return [generation.number for generation in await _old(connection)]


async def drop_old(engine: AsyncEngine, keep: int) -> list[int]:
    """Drop as `drop_old_generations`; the caller holds the maintenance lock."""
    async with engine.begin() as connection:
        old = (await _old(connection))[keep:]
    await drop(engine, old)
    return [generation.number for generation in old]


async def _old(connection: AsyncConnection) -> list[Generation]:
    old = [g for g in await list_generations(connection) if g.filled_at and not g.live]
    return sorted(
        old, key=lambda g: (g.switched_at is not None, g.switched_at, g.number), reverse=True
    )
