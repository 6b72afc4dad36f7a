"""Maintenance of a running PostgreSQL counts as an outage; a wrong statement does not."""

import socket
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.errors import CommandError
from cli.servers import database_errors
from eventstore.connection import DatabaseAccessError
from eventstore.errors import is_database_outage

pytestmark = pytest.mark.asyncio


async def error_of(engine: AsyncEngine, *statements: str) -> DBAPIError:
    """Run all statements in one transaction; return the error of the last one."""
    async with engine.begin() as connection:
        for statement in statements[:-1]:
            await connection.execute(text(statement))
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text(statements[-1]))
        await connection.rollback()
    return caught.value


async def test_a_database_that_is_closed_for_maintenance(database_url: str) -> None:
    server, _, name = database_url.rpartition("/")
    async with database(f"{server}/postgres", pool_size=1) as elsewhere:
        async with elsewhere.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        async with database(database_url, pool_size=1) as engine:
            with pytest.raises(DBAPIError) as caught:
                await engine.connect()
    assert is_database_outage(caught.value)


async def test_credentials_that_are_not_valid_yet(database_url: str) -> None:
    unknown = make_url(database_url).set(username="nobody_yet")
    async with database(unknown.render_as_string(hide_password=False), pool_size=1) as engine:
        with pytest.raises(DatabaseAccessError) as caught:
            await engine.connect()
    assert is_database_outage(caught.value)


async def test_a_host_that_is_gone_is_noticed_while_a_statement_waits(engine: AsyncEngine) -> None:
    """Checks the socket options: a real test would require its own network."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        connected = driver._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


async def test_a_table_that_changes_below_a_prepared_statement(engine: AsyncEngine) -> None:
    look = text("SELECT kept FROM changing")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE changing (kept integer)"))
    async with engine.connect() as connection:
        await connection.execute(look)
        await connection.rollback()
        async with engine.begin() as elsewhere:
            await elsewhere.execute(text("ALTER TABLE changing ALTER kept TYPE text"))
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(look)
        assert is_database_outage(caught.value)
        await connection.rollback()
        await connection.execute(look)  # what is tried again succeeds


@pytest.mark.parametrize(
    ("statements", "is_waited_for"),
    [
        (["SELECT 1/0"], False),
        (["SET TRANSACTION READ ONLY", "CREATE TABLE t (a integer)"], True),
        (["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(5)"], True),
        (["SELECT * FROM not_migrated_yet"], True),
        (["SELECT 'a'::integer"], False),
        (["CREATE TABLE t (a integer CHECK (a > 0))", "INSERT INTO t VALUES (0)"], False),
        (["SELEC 1"], False),
    ],
)
async def test_statements(
    engine: AsyncEngine, statements: Sequence[str], is_waited_for: bool
) -> None:
    assert is_database_outage(await error_of(engine, *statements)) == is_waited_for


async def test_a_lock_that_is_not_available_is_not_called_an_outage(engine: AsyncEngine) -> None:
    async with engine.connect() as other:
        await other.execute(text("LOCK TABLE event_store.events IN ROW EXCLUSIVE MODE"))
        error = await error_of(
            engine,
            "SET LOCAL lock_timeout = '100ms'",
            "CREATE INDEX another ON event_store.events (position)",
        )
    assert worded(error).startswith(
        "PostgreSQL at postgresql://h/x has undone this transaction, since another one holds a "
        "table that it needs: canceling statement due to lock timeout\nRemedy: wait until a "
        "running backup"
    )


async def test_a_deadlock_is_not_called_an_outage() -> None:
    deadlock = worded(asyncpg.DeadlockDetectedError("deadlock detected"))
    assert "that it needs: deadlock detected\nRemedy: wait until" in deadlock


async def test_a_cancelled_statement_is_not_called_an_outage(engine: AsyncEngine) -> None:
    error = await error_of(engine, "SET LOCAL statement_timeout = 1", "SELECT pg_sleep(5)")
    assert worded(error) == (
        "PostgreSQL at postgresql://h/x has undone this transaction: canceling statement due to "
        "statement timeout\nRemedy: if nobody has cancelled it, raise statement_timeout, then run "
        "this again."
    )


def worded(error: BaseException) -> str:
    """The sentence with which a command ends."""
    with pytest.raises(CommandError) as refused, database_errors("postgresql://h/x"):
        raise error
    return str(refused.value)


async def test_a_full_disk_is_not_called_an_outage() -> None:
    remedy = "free some space."
    with pytest.raises(CommandError) as refused, database_errors("postgresql://h/x", remedy=remedy):
        raise asyncpg.DiskFullError("could not extend file: No space left on device")
    assert str(refused.value) == (
        "PostgreSQL at postgresql://h/x cannot do this now: could not extend file: No space left "
        "on device\nRemedy: free some space."
    )
