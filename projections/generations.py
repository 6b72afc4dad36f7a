"""Generations: each is a schema with one copy of the read models; the views show the live one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import statements
from projections.tables import TABLE_SIZES, run_script
from projections.version import CODE_VERSION

PREPARE_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0011)

# Held by a session for as long as it rebuilds, rolls back or drops.
TRY_UPKEEP_LOCK = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=0x5350_5245_4156_0012)

# The other side of SHARE_GENERATION: waits until nobody is within a transaction that writes one.
TAKE_GENERATION = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0010)

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

NEXT_NUMBER = text("SELECT coalesce(max(number), 0) + 1 FROM projections.generations")

INSERT_GENERATION = text("""
    INSERT INTO projections.generations (
        number, schema, live, code_version, filled_at, switched_at)
    VALUES (:number, :schema, CAST(:live AS boolean), :code_version,
            CASE WHEN :live THEN clock_timestamp() END, CASE WHEN :live THEN clock_timestamp() END)
""")

GENERATIONS = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations ORDER BY number
""")

# Waits for the transaction of a rebuild that was killed a moment ago.
HOLD_GENERATION = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations WHERE number = :number FOR UPDATE
""")

# Nothing is moved if somebody else has moved it: a rebuild that lost its lock stops here.
ADVANCE = text("""
    UPDATE projections.generations SET position = :position
    WHERE number = :number AND position = :before AND NOT live
""")

SET_POSITION = text("""
    UPDATE projections.generations SET position = :position WHERE number = :number AND NOT live
""")

SET_FILLED = text("""
    UPDATE projections.generations SET filled_at = clock_timestamp()
    WHERE number = :number AND filled_at IS NULL
""")

LEAVE_LIVE = text("UPDATE projections.generations SET live = false WHERE live")

BECOME_LIVE = text("""
    UPDATE projections.generations SET live = true, switched_at = clock_timestamp()
    WHERE number = :number
""")

FORGET_GENERATION = text("DELETE FROM projections.generations WHERE number = :number AND NOT live")


class NoGenerationError(Exception):
    """There are no read models yet. Remedy: `spreaview-sync migrate`."""

    def __init__(self) -> None:
        super().__init__("there are no read models yet; run: spreaview-sync migrate")


class GenerationsError(Exception):
    """Why nothing was done to the generations, and what to do about it, as the user is told."""


class Generation(NamedTuple):
    """A row of `projections.generations`."""

    number: int
    schema: str
    live: bool
    code_version: str | None
    created_at: datetime
    position: int
    """How far a rebuild has read the log; projectors do not move it."""
    filled_at: datetime | None
    switched_at: datetime | None
    """When it last became live."""

    @property
    def state(self) -> str:
        """`filling`, `filled` (never live yet), `live` or `old`."""
        if self.live:
            return "live"
        if self.filled_at is None:
            return "filling"
        return "filled" if self.switched_at is None else "old"

    def to_json(self) -> dict[str, object]:
        """The fields by name, times as text, and the state."""
        return {
            **self._asdict(),
            "created_at": str(self.created_at),
            "filled_at": None if self.filled_at is None else str(self.filled_at),
            "switched_at": None if self.switched_at is None else str(self.switched_at),
            "state": self.state,
        }


async def prepare(engine: AsyncEngine) -> None:
    """Make the first generation and the views if there are none. Safe to call at once twice."""
    async with engine.begin() as connection:
        await connection.execute(PREPARE_LOCK)
        for statement in CREATE_REGISTRY:
            await connection.execute(statement)
        if (await connection.execute(statements.LIVE_SCHEMA)).one_or_none() is None:
            await create(connection, number=1, live=True, code_version=CODE_VERSION)


async def create(
    connection: AsyncConnection, *, number: int, live: bool, code_version: str
) -> Generation:
    """Make the tables of a generation; those of a live one have their indexes and the views."""
    schema = f"spreaview_g{number}"
    await connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    await connection.execute(
        INSERT_GENERATION,
        {"number": number, "schema": schema, "live": live, "code_version": code_version},
    )
    await enter(connection, schema)
    await run_script(connection, "tables.sql")
    if live:
        await run_script(connection, "indexes.sql")
        await run_script(connection, "views.sql")
    return await hold(connection, number)


async def enter(connection: AsyncConnection, schema: str) -> None:
    """Make a generation's tables those of the rest of this transaction."""
    await connection.execute(statements.SET_SEARCH_PATH, {"schema": schema})


async def forget_speaker(
    connection: AsyncConnection, organization_id: UUID, speaker_id: UUID
) -> int:
    """Clear a speaker's personal fields in every generation, live or not; the number of rows.

    Until the caller's transaction ends nobody is within one that writes a generation: whoever had
    read the fields before has written them by now, and they are cleared with the rest.
    """
    of = {"organization_id": organization_id, "speaker_id": speaker_id}
    return await _forget(connection, statements.FORGET_SPEAKER, of)


async def forget_requester(
    connection: AsyncConnection, organization_id: UUID, requested_by: str
) -> int:
    """Clear who asked for a run, as `forget_speaker` does it."""
    of = {"organization_id": organization_id, "requested_by": requested_by}
    return await _forget(connection, statements.FORGET_REQUESTER, of)


async def _forget(
    connection: AsyncConnection, statement: TextClause, of: Mapping[str, object]
) -> int:
    rows = 0
    await connection.execute(TAKE_GENERATION)
    for schema in (await connection.execute(statements.ALL_SCHEMAS)).scalars().all():
        await enter(connection, schema)
        rows += (await connection.execute(statement, of)).rowcount
    return rows


async def enter_live(connection: AsyncConnection) -> None:
    """Make the live generation's tables those of the rest of this transaction.

    Its shared lock keeps the generation live until the commit: a switch waits for it.

    Raises:
        NoGenerationError: nothing was prepared yet.
    """
    await connection.execute(statements.SHARE_GENERATION)
    schema = (await connection.execute(statements.LIVE_SCHEMA)).scalar_one_or_none()
    if schema is None:
        raise NoGenerationError
    await enter(connection, schema)


async def generations(connection: AsyncConnection) -> list[Generation]:
    """All, by number."""
    return [Generation(*row) for row in await connection.execute(GENERATIONS)]


async def live_generation(connection: AsyncConnection) -> Generation:
    """The one that the views show. Raises `NoGenerationError`."""
    for generation in await generations(connection):
        if generation.live:
            return generation
    raise NoGenerationError


async def hold(connection: AsyncConnection, number: int) -> Generation:
    """A generation as it is until this transaction ends."""
    row = (await connection.execute(HOLD_GENERATION, {"number": number})).one()
    return Generation(*row)


async def drop(connection: AsyncConnection, generation: Generation) -> None:
    """Drop a generation with its rows, within the caller's transaction.

    Waits for transactions that may be within it: an erasure cleans every generation.

    Raises:
        GenerationsError: it is the live one.
    """
    await connection.execute(TAKE_GENERATION)
    forgotten = await connection.execute(FORGET_GENERATION, {"number": generation.number})
    if forgotten.rowcount != 1:
        raise GenerationsError(f"generation {generation.number} is live and is not dropped")
    # Not by CASCADE: were a public view to show one of the tables, that must fail.
    found = await connection.execute(TABLE_SIZES, {"schema": generation.schema})
    tables = [f'{generation.schema}."{row.relname}"' for row in found]
    if tables:
        await connection.execute(text(f"DROP TABLE {', '.join(tables)}"))
    await connection.execute(text(f"DROP SCHEMA {generation.schema}"))


@asynccontextmanager
async def upkeep_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Be the only one to rebuild, roll back or drop, until the block ends or the process does.

    Raises:
        GenerationsError: another one is at it.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not (await connection.execute(TRY_UPKEEP_LOCK)).scalar_one():
            raise GenerationsError(
                "another rebuild, rollback or drop is running. Wait until it has ended, then run "
                "this again; spreaview-sync projections generations shows how far it is."
            )
        try:
            yield
        finally:
            await connection.invalidate()  # the lock ends with its session
