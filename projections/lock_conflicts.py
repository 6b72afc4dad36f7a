"""Short waits for locks that readers or projectors hold, instead of holding them up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncpg import DeadlockDetectedError, LockNotAvailableError, PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :timeout, true)")
RESET_LOCK_TIMEOUT = text("SET LOCAL lock_timeout TO DEFAULT")

PROJECTORS_WAIT = "500ms"
READERS_WAIT = "100ms"
"""Per view or table. A generation has eight views and seven tables, so a transaction gives up
before PostgreSQL looks for deadlocks after 1 s and could abort a reader."""

REMEDY = (
    "wait until a running backup, spreaview-sync verify or spreaview-sync projections generations "
    "has ended, end the sessions that pg_stat_activity shows as idle in transaction, then run this "
    "again."
)
"""Ends the transactions that usually hold locks for long."""

_TRIES = 120


class NotNowError(Exception):
    """The work would hold projectors up for too long. Trying again later may help."""


async def in_a_quiet_moment(work: Callable[[], Awaitable[T]], refusal: Exception) -> T:
    """Repeat a transaction until nobody holds its locks, and return its result.

    `work` begins the transaction and limits its waits by LOCK_TIMEOUT. Raises `refusal` if the
    locks were not available within one or two minutes.
    """
    for _ in range(_TRIES):
        try:
            return await work()
        except NotNowError:
            pass
        except (DBAPIError, PostgresError) as error:
            if not is_lock_conflict(error):
                raise
        await pause()
    raise refusal


async def pause() -> None:
    """Wait for a moment of random length, so that transactions in conflict do not meet again."""
    await asyncio.sleep(random.uniform(0.05, 1.0))  # noqa: S311 (no secret)


def is_lock_conflict(error: DBAPIError | PostgresError) -> bool:
    """Return whether a lock was not available in time: trying again later may help."""
    cause = (
        error.orig if isinstance(error, DBAPIError) else error
    )  # a script raises the driver's error
    code = getattr(cause, "sqlstate", None)
    return code in (LockNotAvailableError.sqlstate, DeadlockDetectedError.sqlstate)
