"""Columns that earlier versions did not have, in the tables of all generations and in the views."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections.generations import (
    TAKE_GENERATION,
    Generation,
    NoQuietMomentError,
    list_generations,
)
from projections.lock_conflicts import (
    LOCK_TIMEOUT,
    PROJECTORS_WAIT,
    READERS_WAIT,
    in_a_quiet_moment,
)
from projections.tables import ADDED_COLUMNS, GENERATION_VIEWS
from projections.views import restore_views

NOT_PREPARED = "the read models were not brought to this version"

HAS_GENERATIONS = text("SELECT to_regclass('projections.generations') IS NOT NULL")

HAS_COLUMN = text("""
    SELECT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(:relation) AND attname = :column AND NOT attisdropped)
""")


async def add_columns(engine: AsyncEngine) -> None:
    """Add the missing columns to every generation, and show them in the public views.

    Nothing is changed if nothing is missing, or if there is no generation yet. Projectors and
    readers wait for milliseconds at most. A projector of an earlier version continues: it leaves
    the new columns alone.

    Raises:
        NoQuietMomentError: the locks were not available within about a minute.
    """

    async def add() -> None:
        async with engine.begin() as connection:
            await _add(connection)

    await in_a_quiet_moment(add, NoQuietMomentError(NOT_PREPARED))


async def _add(connection: AsyncConnection) -> None:
    if not (await connection.execute(HAS_GENERATIONS)).scalar_one():
        return
    generations = await list_generations(connection)
    if not await _missing(connection, generations) and not await _hidden_columns(connection):
        return
    await connection.execute(LOCK_TIMEOUT, {"timeout": PROJECTORS_WAIT})
    await connection.execute(TAKE_GENERATION)
    await connection.execute(LOCK_TIMEOUT, {"timeout": READERS_WAIT})
    generations = await list_generations(connection)  # they may have changed before the lock
    for statement in await _missing(connection, generations):
        await connection.exec_driver_sql(statement)
    for live in (generation for generation in generations if generation.live):
        await restore_views(connection, live.schema)


async def _missing(connection: AsyncConnection, generations: Sequence[Generation]) -> Sequence[str]:
    """Return the statements that add the missing columns."""
    return [
        f'ALTER TABLE {generation.schema}."{table}" ADD COLUMN IF NOT EXISTS "{column}" {kind}'
        for generation in generations
        for (table, column), kind in ADDED_COLUMNS.items()
        if not await _has_column(connection, f"{generation.schema}.{table}", column)
    ]


async def _hidden_columns(connection: AsyncConnection) -> Sequence[str]:
    """Return the public columns that the views do not show: a view is older, or was dropped."""
    return [
        f"{name}.{column}"
        for name, view in GENERATION_VIEWS.items()
        for column in view.columns
        if not await _has_column(connection, f"spreaview.{name}", column)
    ]


async def _has_column(connection: AsyncConnection, relation: str, column: str) -> bool:
    found = await connection.execute(HAS_COLUMN, {"relation": relation, "column": column})
    return bool(found.scalar_one())
