"""Generations: each is a schema with one copy of the read models; the views show the live one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import registry, statements
from projections.version import CODE_VERSION


class NoGenerationError(Exception):
    """There are no read models yet. Remedy: `spreaview-sync migrate`."""

    def __init__(self) -> None:
        super().__init__("there are no read models yet; run: spreaview-sync migrate")


class GenerationsError(Exception):
    """Why nothing was done to the generations, and what to do about it, as the user is told."""


class Generation(NamedTuple):
    """A row of the registry."""

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
        await connection.execute(registry.PREPARE_LOCK)
        for statement in registry.CREATE_REGISTRY:
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
        registry.INSERT_GENERATION,
        {"number": number, "schema": schema, "live": live, "code_version": code_version},
    )
    await enter(connection, schema)
    await run_script(connection, "tables.sql")
    if live:
        await run_script(connection, "indexes.sql")
        await run_script(connection, "views.sql")
    return await hold(connection, number)


async def run_script(connection: AsyncConnection, script: str) -> None:
    """Run a script of several statements, which only the driver itself takes."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await driver.execute(files("projections").joinpath("sql", script).read_text("utf-8"))


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
    await connection.execute(registry.TAKE_GENERATION)
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
    return [Generation(*row) for row in await connection.execute(registry.GENERATIONS)]


async def live_generation(connection: AsyncConnection) -> Generation:
    """The one that the views show. Raises `NoGenerationError`."""
    for generation in await generations(connection):
        if generation.live:
            return generation
    raise NoGenerationError


async def hold(connection: AsyncConnection, number: int) -> Generation:
    """A generation as it is until this transaction ends."""
    row = (await connection.execute(registry.HOLD_GENERATION, {"number": number})).one()
    return Generation(*row)


async def drop(connection: AsyncConnection, generation: Generation) -> None:
    """Drop a generation with its rows, within the caller's transaction.

    Waits for transactions that may be within it: an erasure cleans every generation.

    Raises:
        GenerationsError: it is the live one.
    """
    await connection.execute(registry.TAKE_GENERATION)
    forgotten = await connection.execute(registry.FORGET_GENERATION, {"number": generation.number})
    if forgotten.rowcount != 1:
        raise GenerationsError(f"generation {generation.number} is live and is not dropped")
    # Not by CASCADE: were a public view to show one of the tables, that must fail.
    found = await connection.execute(registry.TABLES, {"schema": generation.schema})
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
        if not (await connection.execute(registry.TRY_UPKEEP_LOCK)).scalar_one():
            raise GenerationsError(
                "another rebuild, rollback or drop is running. Wait until it has ended, then run "
                "this again; spreaview-sync projections generations shows how far it is."
            )
        try:
            yield
        finally:
            await connection.invalidate()  # the lock ends with its session
