"""A time limit for the work of a command, and the reason why it was reached."""

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, TypeVar

from cli.connections import DatabaseAddress, plain_connection
from cli.errors import CommandError
from eventstore.connection import connected
from eventstore.libpq_url import without_password
from messaging.access import check
from messaging.connection import KafkaConnection

T = TypeVar("T")

STATUS_SECONDS = 10.0
"""Time limit of `relay status` and `projections status`."""
REMEDY = "Remedy: run spreaview-sync doctor, which looks at the servers and at long transactions."
_LOOK_SECONDS = 2.0
"""Time limit to find out whether a server answers at all."""


async def within(
    seconds: float,
    work: Coroutine[Any, Any, T],
    database: DatabaseAddress,
    kafka: KafkaConnection | None = None,
) -> T:
    """Return the result of the work.

    Late work is cancelled without waiting for its end, so the command has to leave at once.

    Raises:
        CommandError: the work has not ended in time; the text names the server that is silent.
    """
    working = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({working}, timeout=seconds)
    if done:
        return working.result()
    reason = await why_late(database, kafka)
    working.cancel()
    raise CommandError(f"no result within {seconds:g} s: {reason}\n{REMEDY}")


async def why_late(database: DatabaseAddress, kafka: KafkaConnection | None = None) -> str:
    """Find out which server does not answer; if all do, a statement waits."""
    where = f"PostgreSQL at {without_password(database.url)}"
    if not await _succeeds(_ask(database)):
        return f"{where} does not answer"
    if kafka is not None and not await _succeeds(check(kafka)):
        return f"Kafka at {kafka} does not answer"
    return f"{where} answers, but a statement waits: another session may hold a lock that it needs"


async def _ask(database: DatabaseAddress) -> None:
    async with connected(partial(plain_connection, database)) as connection:
        await connection.execute("SELECT 1")


async def _succeeds(look: Awaitable[object]) -> bool:
    looking = asyncio.ensure_future(look)
    done, _ = await asyncio.wait({looking}, timeout=_LOOK_SECONDS)
    looking.cancel()
    return bool(done) and looking.exception() is None
