"""Distinguish a database that is down, where waiting helps, from a wrong statement."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.error_text import raised_by_the_driver
from eventstore.model import PositionsBehindError

# Connection lost, resources exhausted, shut down or cancelled by an operator, transaction rolled
# back by the server; invalid credentials, as while they are being changed.
_TEMPORARY_CLASSES = ("08", "53", "57", "58", "40", "28")
# Idle too long, lock not available; a standby not promoted yet (read only), a database closed
# for maintenance; not migrated yet; a right that is not granted yet.
_TEMPORARY_CODES = frozenset(
    {"25P03", "55P03", "25006", "55000", "3D000", "3F000", "42P01", "42501"}
)
_NOT_MIGRATED = frozenset({"42703", "42883"})
_CUT_OFF = (
    OSError,
    TimeoutError,
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # an interrupted statement leaves an unusable connection
    PositionsBehindError,  # until an operator has set the sequence
)
_STALE_STATEMENT = asyncpg.InvalidCachedStatementError
"""A table has changed since the statement was prepared."""


def is_database_outage(error: BaseException) -> bool:
    """Return whether the same statement may succeed later, so that waiting helps."""
    if isinstance(error, DBAPIError):
        stale = isinstance(raised_by_the_driver(error), _STALE_STATEMENT)
        if error.connection_invalidated or stale:
            return True
        return _is_temporary(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _is_temporary(error.sqlstate)
    return isinstance(error, _CUT_OFF)


def is_not_migrated_yet(error: BaseException) -> bool:
    """Return whether a statement names a column or function that a later migration adds."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED


def _is_temporary(sqlstate: str | None) -> bool:
    return (
        sqlstate is None or sqlstate.startswith(_TEMPORARY_CLASSES) or sqlstate in _TEMPORARY_CODES
    )
