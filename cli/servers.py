"""The servers of a command: what keeps one from answering becomes a sentence with the remedy."""

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial

from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import DatabaseAddress, database, plain_connection
from cli.errors import CommandError, MissingRightError
from cli.runfile import resolve_database, resolve_direct
from cli.settings import Settings, SettingsError
from contracts.outage_text import describe_outage, missing_acl
from eventstore.connection import VARIABLE, DatabaseAccessError
from eventstore.errors import is_database_outage
from eventstore.libpq_url import without_password
from eventstore.log import EventLog
from eventstore.pooler import PoolerError, refuse_pooler
from eventstore.rights import NOT_ALLOWED, missing_right
from eventstore.schema_version import SchemaVersionError, check_version
from messaging.clocks import Clock, WrongClockError
from messaging.connection import KafkaAccessError, KafkaConnection, UnreachableError
from projections import lock_conflicts
from projections.generations import (
    GenerationAccessError,
    GenerationsError,
    NoGenerationError,
)

_NOT_MIGRATED = ("42P01", "3F000")
"""Undefined table, undefined schema."""
_OUT_OF_RESOURCES = "53"
"""The class of SQLSTATE codes for a full disk, too little memory or too many connections."""
_LOCKED = ("55P03", "40P01")
"""Lock not available in time, deadlock detected."""
_CANCELLED = "57014"
_OF_FILES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Errors that only files have, and sockets never."""
_IN_OUR_WORDS = (
    NoGenerationError,
    GenerationAccessError,
    GenerationsError,
    DatabaseAccessError,
)
_CHECK_DATABASE = "check SPREAVIEW_DATABASE_URL and the server, then run this again."
_CHECK_KAFKA = "check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker, then run this again."
_GRANT = "grant the ACL (docs/operations.md, Roles and rights), then run this again."


@asynccontextmanager
async def open_database(
    settings: Settings,
    pool_size: int = 1,
    *,
    remedy: str = _CHECK_DATABASE,
    any_version: bool = False,
    at: DatabaseAddress | None = None,
) -> AsyncIterator[AsyncEngine]:
    """An engine on the database of the settings, or of a running `up`, or at another address.

    Raises:
        SettingsError: no address is known.
        SchemaVersionError: the database is older or newer than this program, unless `any_version`.
        CommandError: the database does not answer, is not migrated, or refuses, or a change of
            generations was refused. A file that cannot be written inside the block is not the
            database's fault and passes through.
    """
    url, variable = at or DatabaseAddress(resolve_database(settings))
    with database_errors(url, variable, remedy=remedy):
        async with database(url, pool_size, variable) as engine:
            if not any_version:
                await check_version(engine, f"the database at {without_password(url)}")
            yield engine


@contextmanager
def database_errors(
    url: str, variable: str = VARIABLE, *, remedy: str = _CHECK_DATABASE
) -> Iterator[None]:
    """Raise `CommandError` where the database does not answer or refuses, as `open_database`."""
    try:
        yield
    except (CommandError, SchemaVersionError):
        raise
    except Exception as error:
        if (reason := _database_error(url, error, remedy)) is None:
            raise
        kind = MissingRightError if _lacks_a_right(error) else CommandError
        raise kind(reason.replace(VARIABLE, variable)) from error


def _lacks_a_right(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    return isinstance(error, GenerationAccessError) or code == NOT_ALLOWED


@asynccontextmanager
async def open_for_sessions(
    settings: Settings, pool_size: int, *, remedy: str
) -> AsyncIterator[AsyncEngine]:
    """An engine whose connections may hold session locks. Raises as `open_database`.

    Raises:
        SettingsError: the address leads to a transaction pooler.
    """
    address = resolve_direct(settings)
    async with open_database(settings, pool_size, remedy=remedy, at=address) as engine:
        await refuse_pooler_at(address)
        yield engine


async def refuse_pooler_at(address: DatabaseAddress) -> None:
    """Return if the address leads to a primary whose connections have sessions of their own.

    Raises:
        SettingsError: it leads to a transaction pooler.
        DatabaseAccessError: it leads to a replica, which may be promoted later.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the server does not answer.
    """
    try:
        await refuse_pooler(partial(plain_connection, address), address.variable)
    except PoolerError as error:
        raise SettingsError(str(error)) from error


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[EventLog]:
    """The log, to be read; a role that may only SELECT is enough. Raises as `open_database`."""
    async with open_database(settings) as engine:
        yield EventLog(engine)


def _database_error(url: str, error: Exception, remedy: str) -> str | None:
    """A sentence for an error of the database; None for any other error."""
    if isinstance(error, _IN_OUR_WORDS):
        return str(error)
    if isinstance(error, OSError) and (error.filename is not None or not _of_a_socket(error)):
        return None
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    where = without_password(url)
    if code in _NOT_MIGRATED:  # without its read models, for one
        return f"the database at {where} is not migrated; run: spreaview-sync migrate"
    if code == NOT_ALLOWED:
        lacking = missing_right(error)
        cause = f"the role lacks {lacking}" if lacking else describe_outage(error)
        return (
            f"PostgreSQL at {where} refuses: {cause}\n"
            "Remedy: grant the role that right (deploy/roles.sql has the rights of each role), or "
            "set SPREAVIEW_DATABASE_URL to one that has it."
        )
    if str(code).startswith(_OUT_OF_RESOURCES):
        reason = describe_outage(error)
        return f"PostgreSQL at {where} cannot do this now: {reason}\nRemedy: {remedy}"
    if code in _LOCKED:
        return (
            f"PostgreSQL at {where} has undone this transaction, since another one holds a table "
            f"that it needs: {describe_outage(error)}\nRemedy: {lock_conflicts.REMEDY}"
        )
    if code == _CANCELLED:
        return (
            f"PostgreSQL at {where} has undone this transaction: {describe_outage(error)}\n"
            "Remedy: if nobody has cancelled it, raise statement_timeout, then run this again."
        )
    if is_database_outage(error):
        return f"PostgreSQL at {where} does not answer: {describe_outage(error)}\nRemedy: {remedy}"
    return None


def _of_a_socket(error: OSError) -> bool:
    """Whether the error can come from a connection: a full disk or a closed pipe cannot."""
    return not isinstance(error, BrokenPipeError) and error.errno not in _OF_FILES


def database_clock(settings: Settings) -> Clock:
    """The clock of the database. Each reading connects to it."""

    async def now() -> datetime:
        async with open_log(settings) as log:
            return await log.clock()

    return now


@contextmanager
def kafka_errors(
    kafka: KafkaConnection, consequence: str = "", *, remedy: str = _CHECK_KAFKA
) -> Iterator[None]:
    """Raise `CommandError` where Kafka does not answer, or refuses us or is refused.

    It is a `MissingRightError` if an ACL is missing. `consequence` begins the sentence.
    """
    begin = f"{consequence}: " if consequence else ""
    try:
        yield
    except (KafkaAccessError, WrongClockError) as error:
        raise CommandError(f"{begin}{error}") from error
    except UnreachableError as error:
        raise CommandError(f"{begin}{error}\nRemedy: {remedy}") from error
    except (KafkaError, TimeoutError) as error:
        if (lacking := missing_acl(error)) is not None:
            user = "this client" if kafka.username is None else f"user {kafka.username!r}"
            raise MissingRightError(
                f"{begin}Kafka at {kafka} refuses {user}: it lacks {lacking}\nRemedy: {_GRANT}"
            ) from error
        raise CommandError(
            f"{begin}Kafka at {kafka} does not answer: {describe_outage(error)}\nRemedy: {remedy}"
        ) from error
