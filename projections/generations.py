"""Generations: each is a schema with one copy of the read models; the views show the live one."""

from importlib.resources import files
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import statements


class NoGenerationError(Exception):
    """There are no read models yet. Remedy: `spreaview-sync migrate`."""

    def __init__(self) -> None:
        super().__init__("there are no read models yet; run: spreaview-sync migrate")


async def prepare(engine: AsyncEngine) -> None:
    """Make the first generation and the views if there are none. Safe to call at once twice."""
    async with engine.begin() as connection:
        await connection.execute(statements.PREPARE_LOCK)
        for statement in statements.CREATE_REGISTRY:
            await connection.execute(statement)
        if (await connection.execute(statements.LIVE_SCHEMA)).one_or_none() is None:
            await _create(connection, number=1, live=True)


async def _create(connection: AsyncConnection, *, number: int, live: bool) -> None:
    schema = f"spreaview_g{number}"
    await connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    await connection.execute(
        statements.INSERT_GENERATION, {"number": number, "schema": schema, "live": live}
    )
    await connection.execute(statements.SET_SEARCH_PATH, {"schema": schema})
    await _run(connection, "tables.sql")
    if live:
        await _run(connection, "views.sql")


async def _run(connection: AsyncConnection, script: str) -> None:
    """Run a script of several statements, which only the driver itself takes."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await driver.execute(files("projections").joinpath("sql", script).read_text("utf-8"))


async def forget_speaker(
    connection: AsyncConnection, organization_id: UUID, speaker_id: UUID
) -> int:
    """Clear a speaker's personal fields in every generation, live or not; the number of rows."""
    rows = 0
    await connection.execute(statements.SHARE_GENERATION)
    for schema in (await connection.execute(statements.ALL_SCHEMAS)).scalars().all():
        await connection.execute(statements.SET_SEARCH_PATH, {"schema": schema})
        cleared = await connection.execute(
            statements.FORGET_SPEAKER,
            {"organization_id": organization_id, "speaker_id": speaker_id},
        )
        rows += cleared.rowcount
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
    await connection.execute(statements.SET_SEARCH_PATH, {"schema": schema})
