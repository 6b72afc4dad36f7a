"""Statements on the driver's connection, without the layers of SQLAlchemy around each of them.

An append consists of few short statements, and most of its processor time was spent around them. A
page of the log has a thousand rows, and each became an object of SQLAlchemy first.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
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
    """A connection of the engine. It is not used again if it is not ready for other statements.

    That is: it is lost, left in a transaction, or its last statement was cancelled.

    Raises:
        sqlalchemy.exc.DBAPIError, OSError: no connection could be opened.
    """
    async with engine.connect() as connection:
        driver = await _open_driver_of(connection)
        is_ready = False
        try:
            yield driver
            is_ready = True
        except Exception:
            is_ready = True
            raise
        finally:
            if not is_ready or driver.is_closed() or driver.is_in_transaction():
                await connection.invalidate()


async def _open_driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    """Return the driver's connection, of another one in the pool if the server has closed it."""
    driver = await driver_of(connection)
    while driver.is_closed():
        await connection.invalidate()
        driver = await driver_of(connection)
    return driver


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

    An error rolls it back. A cancelled block closes its connection, and waits for no answer.

    Raises:
        sqlalchemy.exc.DBAPIError, OSError: no connection could be opened.
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the BEGIN or the COMMIT failed.
    """
    async with engine.connect() as connection:
        driver = await _open_driver_of(connection)
        transaction = driver.transaction(isolation="read_committed")
        is_over = False
        try:
            # asyncpg counts a transaction as begun also if its BEGIN failed or was cancelled.
            await transaction.start()
            try:
                yield DriverConnection(driver)
            except Exception:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await transaction.rollback()
                    is_over = True
                raise
            await transaction.commit()
            is_over = True
        finally:
            if not is_over:
                await connection.invalidate()
