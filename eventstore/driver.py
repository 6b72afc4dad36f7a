"""Statements on the driver's connection, without the layers of SQLAlchemy around each of them.

An append consists of few short statements, and most of its processor time was spent around them. A
page of the log has a thousand rows, and each became an object of SQLAlchemy first.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Protocol

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_DIALECT = dialect()  # type: ignore[no-untyped-call]


class Executor(Protocol):
    """The part of SQLAlchemy's `AsyncConnection` that `DriverConnection` has, too."""

    async def execute(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None, /
    ) -> Any:
        """Run a statement; the result has `one`, `one_or_none` and `scalar_one`."""


class Rows:
    """The rows of a statement, with some of the methods of SQLAlchemy's result."""

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self._rows = rows

    def all(self) -> Sequence[Sequence[Any]]:
        """Return all rows."""
        return self._rows

    def one_or_none(self) -> Sequence[Any] | None:
        """Return the only row, or None if there is none."""
        return self.one() if self._rows else None

    def one(self) -> Sequence[Any]:
        """Return the only row."""
        (row,) = self._rows
        return row

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""
        return self.one()[0]


class DriverConnection:
    """Runs the statements of a transaction."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def execute(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None, /
    ) -> Rows:
        """Run a statement.

        Raises:
            sqlalchemy.exc.DBAPIError, as SQLAlchemy does: the database refuses it.
            asyncpg.InterfaceError, OSError: the connection is lost.
        """
        sql, names, defaults = _compiled(statement)
        values = {**defaults, **(parameters or {})}
        try:
            return Rows(await self._driver.fetch(sql, *[values[name] for name in names]))
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityError(sql, None, error, hide_parameters=True) from error
        except asyncpg.PostgresError as error:
            raise DBAPIError(sql, None, error, hide_parameters=True) from error


@lru_cache(maxsize=256)
def _compiled(statement: TextClause) -> tuple[str, Sequence[str], Mapping[str, Any]]:
    compiled = statement.compile(dialect=_DIALECT)
    return compiled.string, compiled.positiontup or (), compiled.params


async def driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    """Return the driver's connection below one of SQLAlchemy."""
    driver = (await connection.get_raw_connection()).driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    return driver


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the engine. One that is lost or left in a transaction is not used again.

    Raises:
        sqlalchemy.exc.DBAPIError, OSError: no connection could be opened.
    """
    async with engine.connect() as connection:
        driver = await driver_of(connection)
        try:
            yield driver
        finally:
            if driver.is_closed() or driver.is_in_transaction():
                await connection.invalidate()


async def read_rows(
    engine: AsyncEngine, statement: TextClause, parameters: Mapping[str, Any]
) -> Rows:
    """Run one statement on a connection of the engine, outside a transaction.

    Raises:
        sqlalchemy.exc.DBAPIError, asyncpg.InterfaceError, OSError: as `DriverConnection.execute`.
    """
    async with driver_connection(engine) as driver:
        return await DriverConnection(driver).execute(statement, parameters)


@asynccontextmanager
async def driver_transaction(engine: AsyncEngine) -> AsyncIterator[DriverConnection]:
    """Begin a transaction on a connection of the engine; commit it at the end of the block.

    An error rolls it back.

    Raises:
        sqlalchemy.exc.DBAPIError, OSError: no connection could be opened.
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the BEGIN or the COMMIT failed.
    """
    async with (
        driver_connection(engine) as driver,
        driver.transaction(isolation="read_committed"),
    ):
        yield DriverConnection(driver)
