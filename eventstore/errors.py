"""Telling a database that is down, which is waited for, from a statement that is wrong."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eventstore.model import PositionsBehindError

# Connection lost, resources exhausted, shut down or cancelled by an operator, transaction rolled
# back by the server; credentials that are being changed.
_PASSING_CLASSES = ("08", "53", "57", "58", "40", "28")
# Idle too long, lock not available; a standby that is not promoted yet (read only), a database
# closed for maintenance; not migrated yet.
_PASSING_CODES = frozenset({"25P03", "55P03", "25006", "55000", "3D000", "3F000", "42P01"})
_MADE_LATER = frozenset({"42703", "42883"})
_CUT_OFF = (
    OSError,
    TimeoutError,
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement was cut off, and its connection is of no use
    PositionsBehindError,  # until an operator has set the sequence
)
_PREPARED_ANEW = asyncpg.InvalidCachedStatementError
"""A table has changed since the statement was prepared."""


def is_database_outage(error: BaseException) -> bool:
    """Whether waiting can help: the same statement may succeed later, unchanged."""
    if isinstance(error, DBAPIError):
        cause = error.orig and error.orig.__cause__
        if error.connection_invalidated or isinstance(cause, _PREPARED_ANEW):
            return True
        return _passes(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _passes(error.sqlstate)
    return isinstance(error, _CUT_OFF)


def is_not_migrated_yet(error: BaseException) -> bool:
    """Whether a statement names a column or a function that a later migration makes."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _MADE_LATER


def _passes(sqlstate: str | None) -> bool:
    return sqlstate is None or sqlstate.startswith(_PASSING_CLASSES) or sqlstate in _PASSING_CODES
