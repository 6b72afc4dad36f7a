"""Compare the schema version of the database with the one that this program needs."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.connection import VARIABLE

MIGRATIONS = Path(__file__).parent / "migrations"

REVISIONS: Sequence[str] = sorted(
    path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")
)
"""The schema versions that this program knows, oldest first. Alembic is not imported for them:
every command compares versions, and the import takes longer than the comparison."""

NEEDED = REVISIONS[-1]
"""The schema version that this program needs."""

READ_VERSION = text("SELECT version_num FROM event_store.schema_version")

_NO_TABLE = ("42P01", "3F000")
"""Undefined table, undefined schema."""


class SchemaVersionError(Exception):
    """The database has another schema version than this program needs; the text has the remedy."""

    variable = VARIABLE


class DatabaseOlderError(SchemaVersionError):
    """The database is not migrated to this program's version yet. Waiting may help."""

    def __init__(self, where: str, version: str | None) -> None:
        found = "is not migrated" if version is None else f"is at schema version {version}"
        needed = "" if version is None else f", and this program needs {NEEDED}"
        super().__init__(f"{where} {found}{needed}; run: spreaview-sync migrate")


class DatabaseNewerError(SchemaVersionError):
    """A newer program has migrated the database. Waiting does not help."""

    def __init__(self, where: str, version: str) -> None:
        super().__init__(
            f"this program is older than the database: {where} is at schema version {version}, "
            f"and this program knows versions up to {NEEDED}. "
            "Remedy: run the version of spreaview-sync that has migrated it, or a later one."
        )


async def read_version(connection: AsyncConnection) -> str | None:
    """Return the schema version of the database, or None if it has never been migrated.

    The transaction of the connection cannot be used any more after None.
    """
    try:
        version: str | None = (await connection.execute(READ_VERSION)).scalar_one_or_none()
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) in _NO_TABLE:
            return None
        raise
    return version


async def check_version(engine: AsyncEngine, where: str = "the database") -> None:
    """Return if the database has the schema version that this program needs.

    Args:
        engine: on the database; its role needs SELECT on `event_store.schema_version`.
        where: how the error names the database.

    Raises:
        DatabaseOlderError: somebody has to run `spreaview-sync migrate`.
        DatabaseNewerError: this program is too old.
        sqlalchemy.exc.DBAPIError: the database does not answer, or refuses.
    """
    async with engine.connect() as connection:
        version = await read_version(connection)
    refuse_newer(version, where)
    if version != NEEDED:
        raise DatabaseOlderError(where, version)


def refuse_newer(version: str | None, where: str = "the database") -> None:
    """Raise `DatabaseNewerError` if this program does not know the schema version."""
    if version is not None and version not in REVISIONS:
        raise DatabaseNewerError(where, version)
