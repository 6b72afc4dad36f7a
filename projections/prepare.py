"""Preparing a database: the registry of generations, the first one, and the public views."""

from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import statements
from projections.added_columns import NOT_PREPARED, add_columns
from projections.comments import comment_views
from projections.generations import (
    FREE_NUMBER,
    REVIVE_LAST,
    NoQuietMomentError,
    create,
    live_generation,
)
from projections.lock_conflicts import LOCK_TIMEOUT, READERS_WAIT, in_a_quiet_moment
from projections.tables import run_script
from projections.version import CODE_VERSION
from projections.views import restore_erasures_view, restore_views

PREPARE_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0011)

CREATE_REGISTRY = (
    text("CREATE SCHEMA IF NOT EXISTS projections"),
    text("""
        CREATE TABLE IF NOT EXISTS projections.generations (
            number       integer PRIMARY KEY,
            schema       text NOT NULL UNIQUE,
            live         boolean NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            code_version text,                        -- of the projections that filled it
            position     bigint NOT NULL DEFAULT 0,   -- how far a rebuild has read the log
            filled_at    timestamptz,
            switched_at  timestamptz                  -- when it last became live
        )
    """),
    text("""
        CREATE UNIQUE INDEX IF NOT EXISTS generations_one_live
        ON projections.generations (live) WHERE live
    """),
    text("CREATE SCHEMA IF NOT EXISTS spreaview"),
)


async def prepare(engine: AsyncEngine) -> None:
    """Create the first generation and the views unless they exist, and bring them to this version.

    Requires a migrated log. Concurrent calls are safe. Views that are missing, or do not show the
    live generation, are made again. If no generation is live, the one that was live last becomes
    live. The views are read-only, and their comments explain them. Readers wait for milliseconds at
    most.

    Raises:
        NoQuietMomentError: other transactions held the read models all the time.
    """
    await _in_transaction(engine, _prepare_generation)
    await add_columns(engine)
    await _in_transaction(engine, _prepare_views)


async def _in_transaction(
    engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[None]]
) -> None:
    """Do a part of `prepare` that no concurrent call does."""

    async def prepare_part() -> None:
        async with engine.begin() as connection:
            await connection.execute(PREPARE_LOCK)
            await work(connection)

    await in_a_quiet_moment(prepare_part, NoQuietMomentError(NOT_PREPARED))


async def _prepare_generation(connection: AsyncConnection) -> None:
    for statement in CREATE_REGISTRY:
        await connection.execute(statement)
    await connection.execute(LOCK_TIMEOUT, {"timeout": READERS_WAIT})
    if (await connection.execute(statements.LIVE_SCHEMA)).one_or_none() is None and (
        await connection.execute(REVIVE_LAST)
    ).one_or_none() is None:
        number = (await connection.execute(FREE_NUMBER)).scalar_one()
        await create(connection, number=number, live=True, code_version=CODE_VERSION)


async def _prepare_views(connection: AsyncConnection) -> None:
    await connection.execute(LOCK_TIMEOUT, {"timeout": READERS_WAIT})
    await connection.execute(statements.SHARE_GENERATION)
    await restore_views(connection, (await live_generation(connection)).schema)
    await restore_erasures_view(connection)
    await run_script(connection, "read_only.sql")
    await comment_views(connection)
