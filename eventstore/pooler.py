"""Find out whether a URL leads to a transaction pooler, where a session does not survive.

Session locks and LISTEN are worthless behind one: the next statement may run in another session of
PostgreSQL, and the session that holds the lock serves somebody else.
"""

from contextlib import AsyncExitStack

import asyncpg

from eventstore.connection import DIRECT_VARIABLE, VARIABLE, Connect

_BACKEND = "SELECT pg_backend_pid()"
_LOST_STATEMENTS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A statement was prepared in one session and executed in another."""

_OTHERS = 10
"""More connections than a pooler is likely to have idle sessions."""


class PoolerError(Exception):
    """A transaction pooler stands where a session is needed. The text has the remedy."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        remedy = (
            f"set {DIRECT_VARIABLE} to the address of PostgreSQL itself"
            if variable == VARIABLE
            else "give it the address of PostgreSQL itself"
        )
        super().__init__(
            f"{variable} leads to a transaction pooler: two connections were served by one session "
            "of PostgreSQL, and the leadership of the relay and the lock of a rebuild each need a "
            f"session of their own. Remedy: {remedy}, or let the pooler pool sessions"
        )


async def refuse_pooler(connect: Connect, variable: str = VARIABLE) -> None:
    """Return if the connections have sessions of their own.

    Args:
        connect: opens a connection, without session parameters that a pooler might refuse.
        variable: the variable that holds the URL.

    Raises:
        PoolerError: they share sessions.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the server does not answer.
    """
    if await shares_sessions(connect):
        raise PoolerError(variable)


async def shares_sessions(connect: Connect) -> bool:
    """Return whether connections that are open at the same time share a session of PostgreSQL.

    More and more connections occupy a session each, by a transaction, while the first connection
    is asked again: sooner or later a pooler gives one of them the session that the first one had.
    """
    async with AsyncExitStack() as stack:
        try:
            first = await _opened(stack, connect)
            before: int = await first.fetchval(_BACKEND)
            # A pooler makes up the process id that a connection learns at its start.
            others = 1 if before == first.get_server_pid() else _OTHERS
            for _ in range(others):
                other = await _opened(stack, connect)
                await other.execute("BEGIN")
                if before == await other.fetchval(_BACKEND):
                    return True
                if before != await first.fetchval(_BACKEND):
                    return True
        except _LOST_STATEMENTS:
            return True
    return False


async def _opened(stack: AsyncExitStack, connect: Connect) -> asyncpg.Connection:
    connection = await connect()
    stack.callback(connection.terminate)
    return connection
