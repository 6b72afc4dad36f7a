"""Short waits for locks that readers or projectors hold, instead of holding them up."""

from asyncpg import DeadlockDetectedError, LockNotAvailableError, PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :timeout, true)")

PROJECTORS_WAIT = "500ms"
READERS_WAIT = "100ms"
"""Per view. There are eight views, so a transaction gives up before PostgreSQL looks for deadlocks
after 1 s and could abort a reader."""


def is_lock_conflict(error: DBAPIError | PostgresError) -> bool:
    """Return whether a lock was not available in time: trying again later may help."""
    cause = (
        error.orig if isinstance(error, DBAPIError) else error
    )  # a script raises the driver's error
    code = getattr(cause, "sqlstate", None)
    return code in (LockNotAvailableError.sqlstate, DeadlockDetectedError.sqlstate)
