"""Notice a restored log, which brings back the persons who were erased after the backup.

Holds the statements of `event_store.confirmed_places`. A log is confirmed in one place: the server,
the database, the table, and the id of the log. A dump that is restored is in another place, and so
is a log that `relay rewind --restored` has renamed. Until an operator has replayed the erasures and
confirmed the place, no service serves, publishes or imports.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_PLACE = """
    SELECT l.log_id, c.system_identifier, d.oid::bigint AS database_oid,
           CAST(CAST('event_store.log' AS regclass) AS oid)::bigint AS table_oid
    FROM event_store.log l, pg_control_system() c, pg_database d
    WHERE d.datname = current_database()
"""

IS_CONFIRMED = text(f"""
    SELECT EXISTS (
        SELECT FROM event_store.confirmed_places
        JOIN ({_PLACE}) AS here USING (log_id, system_identifier, database_oid, table_oid)
    )
""")  # noqa: S608 (of constants)

CONFIRM = text(f"""
    INSERT INTO event_store.confirmed_places (
        log_id, system_identifier, database_oid, table_oid)
    {_PLACE}
    ON CONFLICT DO NOTHING
""")

CONFIRM_COMMAND = "spreaview-sync erasures replay"


class UnconfirmedRestoreError(Exception):
    """The database was restored, moved or copied, and nobody has replayed the erasures since."""

    def __init__(self) -> None:
        super().__init__(
            "this log was restored, imported or moved to another database, and the erasures since "
            "the backup are not confirmed: erased persons may be back. No service starts, and "
            f"nothing is served or published until then. Remedy: run {CONFIRM_COMMAND}"
        )


async def unconfirmed_restore(engine: AsyncEngine) -> str | None:
    """Return why the log must not be served, as a sentence with the remedy; None if it may be.

    Raises the errors of the database if it does not answer or is not migrated.
    """
    async with engine.connect() as connection:
        is_confirmed = (await connection.execute(IS_CONFIRMED)).scalar_one()
    return None if is_confirmed else str(UnconfirmedRestoreError())


async def check_confirmed(engine: AsyncEngine) -> None:
    """Return if the log is confirmed in this database. Raises `UnconfirmedRestoreError`."""
    if await unconfirmed_restore(engine) is not None:
        raise UnconfirmedRestoreError


async def confirm_place(connection: AsyncConnection) -> bool:
    """Confirm that the log of this database has every erasure; False if it was confirmed before."""
    return bool((await connection.execute(CONFIRM)).rowcount)
