"""Migrate the tables of the log to this program's version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_MIGRATE_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0002)


async def migrate(engine: AsyncEngine) -> None:
    """Apply the missing migrations, if any, in one transaction.

    Safe to call from several processes concurrently: a lock serialises them.
    """
    async with engine.begin() as connection:
        await connection.execute(_MIGRATE_LOCK)
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
