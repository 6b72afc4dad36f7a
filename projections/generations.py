"""Generations: schemas that each hold a copy of the read models. The views show the live one."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.identity import requester_subject
from contracts.instants import utc_text
from eventstore.driver import Executor
from projections import lock_conflicts, statements
from projections.grants import copy_grants
from projections.lock_conflicts import (
    LOCK_TIMEOUT,
    PROJECTORS_WAIT,
    READERS_WAIT,
    RESET_LOCK_TIMEOUT,
    in_a_quiet_moment,
    is_lock_conflict,
    pause,
)
from projections.tables import TABLE_SIZES, run_script

MAINTENANCE = 0x5350_5245_4156_0012
"""One session holds it during a rebuild, a rollback or a drop."""

TRY_MAINTENANCE_LOCK = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=MAINTENANCE)

# Conflicts with SHARE_GENERATION: waits until no transaction is writing a generation.
TAKE_GENERATION = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0010)

MAY_USE = text("SELECT has_schema_privilege(:schema, 'USAGE')")

# As MAY_USE and SET_SEARCH_PATH, for the live generation in one round trip.
SELECT_LIVE = text("""
    SELECT schema, has_schema_privilege(schema, 'USAGE') AS may_use,
           set_config('search_path', schema, true)
    FROM projections.generations WHERE live
""")

NEXT_NUMBER = text("SELECT coalesce(max(number), 0) + 1 FROM projections.generations")

# Beyond the schemas that exist, too: the table of generations may have lost its rows.
FREE_NUMBER = text("""
    SELECT 1 + greatest(
        (SELECT max(number) FROM projections.generations),
        (SELECT max(CAST(substring(nspname FROM 12) AS integer)) FROM pg_namespace
         WHERE nspname ~ '^spreaview_g[0-9]{1,8}$'), 0)
""")

REVIVE_LAST = text("""
    UPDATE projections.generations SET live = true, switched_at = clock_timestamp()
    WHERE number = (SELECT number FROM projections.generations
                    WHERE filled_at IS NOT NULL ORDER BY switched_at DESC NULLS LAST LIMIT 1)
    RETURNING schema
""")

INSERT_GENERATION = text("""
    INSERT INTO projections.generations (
        number, schema, live, code_version, filled_at, switched_at)
    VALUES (:number, :schema, CAST(:live AS boolean), :code_version,
            CASE WHEN :live THEN clock_timestamp() END, CASE WHEN :live THEN clock_timestamp() END)
""")

REQUESTERS = text("""
    SELECT DISTINCT requested_by FROM sync_runs
    WHERE organization_id = :organization_id AND requested_by IS NOT NULL
""")

GENERATIONS = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations ORDER BY number
""")

# Waits for the last transaction of a rebuild that was just killed.
HOLD_GENERATION = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations WHERE number = :number FOR UPDATE
""")

# Updates no row if another process has moved the position: a rebuild that lost its lock stops.
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
    """The database has no read models yet. Remedy: `spreaview-sync migrate`."""

    def __init__(self) -> None:
        super().__init__("there are no read models yet; run: spreaview-sync migrate")


class GenerationAccessError(Exception):
    """This role has no rights on a generation. Waiting helps: until they are granted.

    Without this error PostgreSQL would report that the generation's tables do not exist.
    """

    def __init__(self, schema: str) -> None:
        super().__init__(
            f"the role lacks USAGE ON SCHEMA {schema}, which holds read models. "
            "Remedy: grant it the rights of its job; deploy/roles.sql holds them"
        )


class GenerationsError(Exception):
    """A change of generations that was refused. The message explains why and names the remedy."""


class NoQuietMomentError(GenerationsError):
    """Other transactions held the read models all the time. `consequence` begins the sentence."""

    def __init__(self, consequence: str) -> None:
        super().__init__(
            f"{consequence}: other transactions held the read models all the time. "
            f"Remedy: {lock_conflicts.REMEDY}"
        )


class Generation(NamedTuple):
    """A row of `projections.generations`."""

    number: int
    schema: str
    live: bool
    code_version: str | None
    created_at: datetime
    position: int
    """How far a rebuild has read the log. Projectors do not update it."""
    filled_at: datetime | None
    switched_at: datetime | None
    """When the generation last became live."""

    @property
    def state(self) -> str:
        """One of `filling`, `filled` (never live yet), `live` and `old`."""
        if self.live:
            return "live"
        if self.filled_at is None:
            return "filling"
        return "filled" if self.switched_at is None else "old"

    def to_json(self) -> dict[str, object]:
        """The fields by name, times as text, and the state."""
        return {
            **self._asdict(),
            "created_at": utc_text(self.created_at),
            "filled_at": None if self.filled_at is None else utc_text(self.filled_at),
            "switched_at": None if self.switched_at is None else utc_text(self.switched_at),
            "state": self.state,
        }


async def create(
    connection: AsyncConnection, *, number: int, live: bool, code_version: str
) -> Generation:
    """Create a generation and its tables; a live one also gets its indexes and the views.

    One that is not live gets the rights of other roles on the live one.
    """
    schema = f"spreaview_g{number}"
    await connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    await connection.execute(
        INSERT_GENERATION,
        {"number": number, "schema": schema, "live": live, "code_version": code_version},
    )
    await select_generation(connection, schema)
    await run_script(connection, "tables.sql")
    if live:
        await run_script(connection, "indexes.sql")
        await run_script(connection, "views.sql")
    else:
        await copy_grants(connection, (await live_generation(connection)).schema, schema)
    return await lock_generation(connection, number)


async def select_generation(connection: AsyncConnection, schema: str) -> None:
    """Select a generation: unqualified tables are its tables until this transaction ends."""
    await connection.execute(statements.SET_SEARCH_PATH, {"schema": schema})


async def forget_speaker(
    connection: AsyncConnection,
    organization_id: UUID,
    speaker_id: UUID,
    stream_ids: Collection[UUID],
) -> int:
    """Clear a speaker's personal fields in every generation; return the number of rows.

    Rows of `stream_ids`, the streams with personal data of the speaker, show `erased`, and count.

    Waits for all transactions that write a generation and keeps new ones out until the caller's
    transaction ends. A projector that has read the fields has written them by then, so they are
    cleared, too.
    """
    of = {"organization_id": organization_id, "speaker_id": speaker_id}
    rows = 0
    async for _ in _each_generation(connection):
        await connection.execute(statements.FORGET_SPEAKER, of)
        marked = {**of, "stream_ids": list(stream_ids)}
        rows += (await connection.execute(statements.MARK_FORGOTTEN, marked)).rowcount
    return rows


async def forget_requester(
    connection: AsyncConnection, organization_id: UUID, subject: UUID
) -> int:
    """Clear the name of a requester, with the guarantee of `forget_speaker`.

    `subject` is `identity.requester_subject` of the organization and the name.
    """
    rows = 0
    of = {"organization_id": organization_id}
    async for _ in _each_generation(connection):
        names = (await connection.execute(REQUESTERS, of)).scalars().all()
        for name in names:
            if requester_subject(organization_id, name) == subject:
                cleared = await connection.execute(
                    statements.FORGET_REQUESTER, of | {"requested_by": name}
                )
                rows += cleared.rowcount
    return rows


async def _each_generation(connection: AsyncConnection) -> AsyncIterator[str]:
    """Select each generation in turn, exclusively, and yield its schema.

    Waits for a long repair without holding up projectors.

    Raises:
        GenerationAccessError: this role may not use one of them.
    """
    while not await _take_generation(connection):
        await pause()
    for schema in (await connection.execute(statements.ALL_SCHEMAS)).scalars().all():
        await _require_use(connection, schema)
        await select_generation(connection, schema)
        yield schema


async def _take_generation(connection: AsyncConnection) -> bool:
    """Return whether the lock was available soon: projectors wait behind this one meanwhile."""
    try:
        async with connection.begin_nested():
            await connection.execute(LOCK_TIMEOUT, {"timeout": PROJECTORS_WAIT})
            await connection.execute(TAKE_GENERATION)
            await connection.execute(RESET_LOCK_TIMEOUT)
    except DBAPIError as error:
        if not is_lock_conflict(error):
            raise
        return False
    return True


async def select_live_generation(connection: Executor) -> None:
    """Select the live generation until this transaction ends.

    A shared lock keeps the generation live until then: a switch waits for it.

    Raises:
        NoGenerationError: the database has no read models yet.
        GenerationAccessError: this role may not use the live generation.
    """
    await connection.execute(statements.SHARE_GENERATION)
    live = (await connection.execute(SELECT_LIVE)).one_or_none()
    if live is None:
        raise NoGenerationError
    schema, may_use, _ = live
    if not may_use:
        raise GenerationAccessError(schema)


async def _require_use(connection: AsyncConnection, schema: str) -> None:
    if not (await connection.execute(MAY_USE, {"schema": schema})).scalar_one():
        raise GenerationAccessError(schema)


async def list_generations(connection: AsyncConnection) -> list[Generation]:
    """Return every generation, by number."""
    return [Generation(*row) for row in await connection.execute(GENERATIONS)]


async def live_generation(connection: AsyncConnection) -> Generation:
    """Return the generation that the views show. Raises `NoGenerationError`."""
    for generation in await list_generations(connection):
        if generation.live:
            return generation
    raise NoGenerationError


async def lock_generation(connection: AsyncConnection, number: int) -> Generation:
    """Lock the row of a generation until this transaction ends, and return it."""
    row = (await connection.execute(HOLD_GENERATION, {"number": number})).one()
    return Generation(*row)


async def drop(engine: AsyncEngine, generations: Sequence[Generation]) -> None:
    """Drop generations with their rows: all of them, or none.

    Waits for transactions that write generations: an erasure cleans every generation. Projectors
    wait for milliseconds at most, also while a backup reads the tables.

    Raises:
        GenerationsError: one of them is live.
        NoQuietMomentError: other transactions held the tables all the time.
    """

    async def drop_all() -> None:
        async with engine.begin() as connection:
            await connection.execute(LOCK_TIMEOUT, {"timeout": PROJECTORS_WAIT})
            await connection.execute(TAKE_GENERATION)
            await connection.execute(LOCK_TIMEOUT, {"timeout": READERS_WAIT})
            for generation in generations:
                await _drop(connection, generation)

    if generations:
        numbers = ", ".join(str(generation.number) for generation in generations)
        refusal = NoQuietMomentError(f"not dropped: generation {numbers}")
        await in_a_quiet_moment(drop_all, refusal)


async def _drop(connection: AsyncConnection, generation: Generation) -> None:
    forgotten = await connection.execute(FORGET_GENERATION, {"number": generation.number})
    if forgotten.rowcount != 1:
        raise GenerationsError(f"generation {generation.number} is live and cannot be dropped")
    # Without CASCADE: dropping a table must fail while a public view shows it.
    found = await connection.execute(TABLE_SIZES, {"schema": generation.schema})
    tables = [f'{generation.schema}."{row.relname}"' for row in found]
    if tables:
        await connection.execute(text(f"DROP TABLE {', '.join(tables)}"))
    await connection.execute(text(f"DROP SCHEMA {generation.schema}"))


@asynccontextmanager
async def maintenance_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Exclude every other rebuild, rollback and drop until the block or the process ends.

    Raises:
        GenerationsError: another process holds the lock.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not (await connection.execute(TRY_MAINTENANCE_LOCK)).scalar_one():
            raise GenerationsError(
                "another rebuild, rollback or drop is running. Wait until it has ended, then run "
                "this again; spreaview-sync projections generations shows its progress."
            )
        try:
            yield
        finally:
            await connection.invalidate()  # closing the session releases the lock
