"""Migrate the tables of the log to this program's version."""

from typing import NamedTuple

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.schema_version import MIGRATIONS, NEEDED, READ_VERSION, refuse_newer

_MIGRATE_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0002)

_HAS_VERSION = text("SELECT to_regclass('event_store.schema_version') IS NOT NULL")


# A statement that waits for a lock holds up everybody who comes after it.
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '10s'")


class Migrated(NamedTuple):
    """The schema versions before and after a migration."""

    before: str | None
    """None if the database had never been migrated."""
    after: str


async def migrate(engine: AsyncEngine) -> Migrated:
    """Apply the missing migrations, if any, in one transaction.

    Safe to call from several processes concurrently: a lock serialises them.

    Raises:
        DatabaseNewerError: a newer program has migrated the database. Nothing is changed.
        sqlalchemy.exc.DBAPIError: the database does not answer, or another transaction has held a
            table for ten seconds. Nothing is changed; repeat it.
    """
    async with engine.begin() as connection:
        await connection.execute(_MIGRATE_LOCK)
        before: str | None = None
        if (await connection.execute(_HAS_VERSION)).scalar_one():
            before = (await connection.execute(READ_VERSION)).scalar_one_or_none()
        refuse_newer(before)
        if before != NEEDED:
            await connection.execute(_LOCK_TIMEOUT)
            await connection.run_sync(_upgrade)
    return Migrated(before, NEEDED)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
