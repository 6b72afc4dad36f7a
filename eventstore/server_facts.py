"""Facts about a PostgreSQL server and its sessions, for the diagnosis; everything is only read."""

from datetime import timedelta
from ipaddress import ip_address
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventstore.connection import transport_of

SERVER = text("""
    SELECT current_setting('server_version') AS version,
           current_setting('server_version_num')::integer / 10000 AS major,
           pg_is_in_recovery() AS is_replica
""")

SEES_ALL_SESSIONS = text("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")

# Times are hidden from roles without pg_read_all_stats, names are not.
TRANSACTIONS = text("""
    SELECT a.pid, a.usename AS role, a.application_name AS name,
           clock_timestamp() - a.xact_start AS age,
           (SELECT count(*) FROM pg_stat_activity w WHERE a.pid = ANY(pg_blocking_pids(w.pid)))
               AS blocked
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
      AND a.backend_type = 'client backend' AND a.xact_start IS NOT NULL
    ORDER BY a.xact_start
    LIMIT 1
""")

HOLDERS = text("""
    SELECT a.pid, a.usename AS role, a.application_name AS name
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND a.datname = current_database() AND a.datid = l.database
      AND (l.classid::bigint << 32) | l.objid::bigint = :key
""")

SESSION_NAME = text("SELECT current_setting('application_name')")

DATABASE_SIZE = text("SELECT pg_database_size(current_database())")

# The most WAL that a slot holds back first. A replica has no current position.
SLOTS = text("""
    SELECT slot_name AS name, active, wal_status = 'lost' AS is_lost,
           coalesce(pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                    ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint AS kept_bytes
    FROM pg_replication_slots
    ORDER BY kept_bytes DESC, slot_name
""")

CACHE_SIZE = text("""
    SELECT q.seqcache FROM pg_sequence q
    WHERE q.seqrelid = to_regclass('event_store.events_position_seq')
""")


class ServerFacts(NamedTuple):
    """A server that answers."""

    version: str
    major: int
    is_replica: bool
    is_local: bool
    """Whether our connection stays on this machine: to the server, or to a pooler before it."""
    is_encrypted: bool
    """Whether our connection is encrypted, likewise."""


class Session(NamedTuple):
    """A session that may hold others back."""

    pid: int
    role: str
    name: str
    """Its `application_name`."""


class OpenTransaction(NamedTuple):
    """The transaction that has been open for longest."""

    session: Session
    age: timedelta
    blocked: int
    """Sessions that wait for its locks."""


class Slot(NamedTuple):
    """A replication slot."""

    name: str
    active: bool
    is_lost: bool
    """Whether the server has given up keeping the WAL for it."""
    kept_bytes: int
    """WAL that the server keeps for it."""


async def server_facts(connection: AsyncConnection) -> ServerFacts:
    """Return the server's version and how this connection reaches it.

    PostgreSQL describes its session with a pooler, so the driver is asked how we reach that.
    """
    row = (await connection.execute(SERVER)).one()
    link = transport_of((await connection.get_raw_connection()).driver_connection)
    return ServerFacts(
        *(row.version, row.major, row.is_replica),
        is_local=_is_local(link.get_extra_info("peername")),
        is_encrypted=link.get_extra_info("ssl_object") is not None,
    )


def _is_local(peer: object) -> bool:
    """Whether an address is of this machine: a loopback address, or a path."""
    if not isinstance(peer, tuple):
        return True
    address = ip_address(peer[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def sees_all_sessions(connection: AsyncConnection) -> bool:
    """Return whether this role sees the transactions of other roles."""
    return bool((await connection.execute(SEES_ALL_SESSIONS)).scalar_one())


async def oldest_transaction(connection: AsyncConnection) -> OpenTransaction | None:
    """Return the oldest open transaction of another session that this role may see."""
    row = (await connection.execute(TRANSACTIONS)).one_or_none()
    if row is None:
        return None
    return OpenTransaction(Session(row.pid, row.role, row.name), row.age, row.blocked)


async def session_name(connection: AsyncConnection) -> str:
    """Return the `application_name` of this session."""
    return str((await connection.execute(SESSION_NAME)).scalar_one())


async def lock_holders(connection: AsyncConnection, key: int) -> list[Session]:
    """Return the sessions that hold an advisory lock of this database."""
    return [Session(*row) for row in await connection.execute(HOLDERS, {"key": key})]


async def database_size(connection: AsyncConnection) -> int:
    """Return the size of this database in bytes."""
    return int((await connection.execute(DATABASE_SIZE)).scalar_one())


async def replication_slots(connection: AsyncConnection) -> list[Slot]:
    """Return the replication slots, the one that holds back most WAL first."""
    return [Slot(*row) for row in await connection.execute(SLOTS)]


async def cached_positions(connection: AsyncConnection) -> int | None:
    """Return how many positions a session takes at once; None if the sequence is missing."""
    found: int | None = (await connection.execute(CACHE_SIZE)).scalar_one_or_none()
    return found
