"""A connection that a statement, a BEGIN or a server has spoilt is not used for the next one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from contracts import samples
from contracts.events import RoomImported
from eventstore.driver import driver_of, driver_transaction
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from tests.support.chaos.proxy import LOOPBACK, Proxy, proxy
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.asyncio

CONNECTIONS = 3
ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))


def a_commit() -> Commit:
    return Commit(uuid4(), 0, [NewEvent(uuid4(), ROOM)])


@pytest_asyncio.fixture
async def one_connection(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with database(database_url, pool_size=1) as engine:
        yield engine


@pytest.mark.parametrize("error", [asyncio.CancelledError(), asyncpg.InternalServerError("no")])
async def test_an_append_after_a_begin_that_failed_is_in_the_log(
    one_connection: AsyncEngine,
    log: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    """asyncpg would make the next transaction a savepoint that nobody commits."""
    ours = EventLog(one_connection)
    await ours.head()  # SQLAlchemy begins a transaction of its own on its first connection
    execute = asyncpg.Connection.execute

    async def failing(self: Any, query: str, *given: Any, **more: Any) -> Any:
        if query.startswith("BEGIN"):
            monkeypatch.setattr(asyncpg.Connection, "execute", execute)
            raise error
        return await execute(self, query, *given, **more)

    monkeypatch.setattr(asyncpg.Connection, "execute", failing)
    with pytest.raises(type(error)):
        await ours.append(a_commit())
    appended = await ours.append(a_commit())
    assert await log.head() == appended.position


async def test_connections_that_the_server_has_closed_fail_no_statement(
    database_url: str, engine: AsyncEngine
) -> None:
    async with database(database_url, pool_size=CONNECTIONS) as ours:
        async with AsyncExitStack() as stack:
            opened = [
                await driver_of(await stack.enter_async_context(ours.connect()))
                for _ in range(CONNECTIONS)
            ]
        async with engine.connect() as other:
            admin = await driver_of(other)
            for driver in opened:
                await admin.execute(f"SELECT pg_terminate_backend({driver.get_server_pid()})")
        async with asyncio.timeout(PATIENCE):
            while not all(driver.is_closed() for driver in opened):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        log = EventLog(ours)
        appended = await log.append(a_commit())
        assert (await log.changed_streams(0))[0] == appended.position


async def test_a_transaction_that_is_cancelled_does_not_wait_for_a_silent_server(
    database_url: str,
) -> None:
    port = make_url(database_url).port
    assert port is not None
    async with proxy(free_port()) as hole:
        hole.target = port
        there = make_url(database_url).set(host=LOOPBACK, port=hole.port)
        url = there.render_as_string(hide_password=False)
        async with database(url, pool_size=1) as ours:
            await cancelled_while_silent(hole, ours)


async def cancelled_while_silent(hole: Proxy, engine: AsyncEngine) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with driver_transaction(engine) as connection:
            inside.set()
            await asyncio.Event().wait()
            del connection

    working = asyncio.create_task(work())
    await inside.wait()
    silence = asyncio.create_task(hole.swallow(PATIENCE))
    try:
        await asyncio.sleep(0)
        working.cancel()
        done, _ = await asyncio.wait({working}, timeout=PATIENCE / 2)
        assert done == {working}
    finally:
        silence.cancel()
