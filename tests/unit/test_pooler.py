"""A transaction pooler is recognised by its sessions, in any order and with any number idle."""

from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import asyncpg
import pytest

from eventstore.pooler import PoolerError, refuse_pooler, shares_sessions

pytestmark = pytest.mark.asyncio


class Server:
    """PostgreSQL: each connection has a session of its own, whose process id it learns."""

    def __init__(self) -> None:
        self._pids: Iterator[int] = count(100)
        self.open = 0

    async def connect(self) -> asyncpg.Connection:
        self.open += 1
        return cast("asyncpg.Connection", Connection(self, next(self._pids)))

    def taken(self, connection: "Connection") -> int:
        """Take a session for a statement; return its process id."""
        return connection.pid

    def give_back(self, connection: "Connection", pid: int) -> None:
        """The statement is done."""


class Pooler(Server):
    """Gives out idle sessions per transaction, and process ids that it makes up per connection."""

    def __init__(self, idle: int, *, newest_first: bool) -> None:
        super().__init__()
        self._idle = deque(range(1, idle + 1))
        self._newest_first = newest_first
        self._more: Iterator[int] = count(idle + 1)

    def taken(self, connection: "Connection") -> int:
        if not self._idle:
            return next(self._more)
        return self._idle.pop() if self._newest_first else self._idle.popleft()

    def give_back(self, connection: "Connection", pid: int) -> None:
        self._idle.append(pid)


class SessionPooler(Server):
    """Makes up process ids, too, but each connection keeps its session."""

    def taken(self, connection: "Connection") -> int:
        return -connection.pid


class Connection:
    def __init__(self, server: Server, pid: int) -> None:
        self._server = server
        self.pid = pid
        self._held: int | None = None

    def get_server_pid(self) -> int:
        return self.pid

    async def execute(self, statement: str) -> None:
        assert statement == "BEGIN"
        self._held = self._server.taken(self)

    async def fetchval(self, _: str) -> int:
        if self._held is not None:
            return self._held
        pid = self._server.taken(self)
        self._server.give_back(self, pid)
        return pid

    def terminate(self) -> None:
        self._server.open -= 1


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("idle", [1, 2, 7])
async def test_a_transaction_pooler(idle: int, newest_first: bool) -> None:
    pooler = Pooler(idle, newest_first=newest_first)
    assert await shares_sessions(pooler.connect)
    assert pooler.open == 0


@pytest.mark.parametrize("server", [Server, SessionPooler])
async def test_connections_that_keep_their_sessions(server: type[Server]) -> None:
    direct = server()
    assert not await shares_sessions(direct.connect)
    assert direct.open == 0


async def test_a_statement_that_was_prepared_in_another_session() -> None:
    class Lost(Connection):
        async def fetchval(self, _: str) -> Any:
            raise asyncpg.InvalidSQLStatementNameError("prepared statement does not exist")

    server = Server()
    server.open = 1

    async def connect() -> asyncpg.Connection:
        return cast("asyncpg.Connection", Lost(server, 1))

    assert await shares_sessions(connect)
    assert server.open == 0


async def test_the_error_names_the_variable_and_the_remedy() -> None:
    pooler = Pooler(2, newest_first=True)
    with pytest.raises(PoolerError, match="set SPREAVIEW_DIRECT_DATABASE_URL to") as refused:
        await refuse_pooler(pooler.connect)
    assert refused.value.variable == "SPREAVIEW_DATABASE_URL"
