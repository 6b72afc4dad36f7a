"""Checks of the database: its schema, its locks and transactions, the sequence, the disks."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from audit.verify.guards import may_read_sequence, read_sequence
from cli.connections import NAME
from cli.doctor.findings import Check, Result, Server, not_checked, ok, problem, warning
from cli.doctor.installation import Installation
from cli.status.headings import FAILURES, NO_EVENTS, REBUILDING, UPDATING
from contracts.wording import counted
from eventstore.leadership import LOCK as LEADERSHIP
from eventstore.schema_version import NEEDED, check_version
from eventstore.server_facts import (
    Session,
    Slot,
    cached_positions,
    database_size,
    lock_holders,
    oldest_transaction,
    replication_slots,
    sees_all_sessions,
    session_name,
)
from messaging.clocks import duration_text
from projections.generations import MAINTENANCE, list_generations

_MIB = 1024 * 1024
_MUCH_WAL = 1024 * _MIB
_LEAST_FREE, _ENOUGH_FREE = 64 * _MIB, 1024 * _MIB


async def schema(installation: Installation) -> Sequence[Result]:
    """The database has this program's schema version."""
    await check_version(installation.engine)
    return [ok(f"the database is at schema version {NEEDED}, as this program")]


async def locks(installation: Installation) -> Sequence[Result]:
    """Nobody else holds the locks of the leadership and of a rebuild."""
    async with installation.engine.connect() as connection:
        own_name = await session_name(connection)
        leaders = await lock_holders(connection, LEADERSHIP)
        maintainers = await lock_holders(connection, MAINTENANCE)
    results = [
        *_foreign(leaders, (" relay ",), "the leadership of the relay", NO_EVENTS),
        *_foreign(maintainers, (NAME, own_name), "the lock of rebuilds", REBUILDING),
    ]
    leader = f"{leaders[0].name} holds the leadership" if leaders else "nobody leads"
    rebuild = "a rebuild, rollback or drop runs" if maintainers else "no rebuild runs"
    return results or [ok(f"{leader}; {rebuild}")]


def _foreign(holders: Sequence[Session], ours: Sequence[str], what: str, see: str) -> list[Result]:
    return [
        problem(
            f"session {holder.pid} of role {holder.role} holds {what}, and is no process of "
            "spreaview-sync",
            f"SELECT pg_terminate_backend({holder.pid})",
            see=see,
        )
        for holder in holders
        if not any(name in holder.name for name in ours)
    ]


async def transactions(installation: Installation) -> Sequence[Result]:
    """No transaction has been open for long: it delays a switch and keeps dead rows."""
    async with installation.engine.connect() as connection:
        sees_all = await sees_all_sessions(connection)
        oldest = await oldest_transaction(connection)
    limit = timedelta(seconds=installation.settings.stuck_seconds)
    if oldest is not None and oldest.age > limit:
        session, age, blocked = oldest
        what = f"a transaction of session {session.pid} ({session.role}) is open for"
        sentence = f"{what} {duration_text(age)}"
        remedy = f"end it, or SELECT pg_terminate_backend({session.pid})"
        if blocked:
            waiting = f"{counted(blocked, 'session')} of PostgreSQL"
            return [problem(f"{sentence}, and {waiting} wait for its locks", remedy)]
        return [warning(f"{sentence}; it delays the switch of a rebuild", remedy)]
    if not sees_all:
        return [
            not_checked(
                "this role sees only its own transactions",
                "GRANT pg_read_all_stats TO the role, or run this as the owner of the server",
                is_hidden=True,
            )
        ]
    age = timedelta(0) if oldest is None else oldest.age
    return [ok(f"the oldest open transaction is {age.total_seconds():.1f} s old")]


async def sequence(installation: Installation) -> Sequence[Result]:
    """The sequence of the positions is beyond the log, has positions left, and is not cached."""
    async with installation.engine.connect() as connection:
        may_read = await may_read_sequence(connection)
        if may_read is None:
            return [problem("the sequence of the positions is missing", "spreaview-sync verify")]
        cached = await cached_positions(connection)
        if not may_read:
            lacking = "the role lacks SELECT ON SEQUENCE event_store.events_position_seq"
            return [not_checked(lacking, is_hidden=True)]
        found = await read_sequence(connection)
    results = []
    if found.fault is not None:
        sentence, _, remedy = found.fault.partition(". Remedy: ")
        results.append(problem(sentence, remedy or "start a new log"))
    if cached != 1:
        results.append(
            problem(
                f"sessions take {cached} positions at once, so the order of positions is not the "
                "order of commits",
                "stop the workers, then: ALTER SEQUENCE event_store.events_position_seq CACHE 1",
            )
        )
    return results or [ok(f"the next position is {found.next:,}; none is cached")]


async def generations(installation: Installation) -> Sequence[Result]:
    """One generation is live, and none is left half-filled."""
    async with installation.engine.connect() as connection:
        found = await list_generations(connection)
        rebuilding = await lock_holders(connection, MAINTENANCE)
    live = [generation for generation in found if generation.live]
    if not live:
        return [problem("no generation of the read models is live", "spreaview-sync migrate")]
    unfinished = [g for g in found if g.state in ("filling", "filled")]
    if unfinished and not rebuilding:
        number, state = unfinished[0].number, unfinished[0].state
        how = "half-filled" if state == "filling" else "filled and was never live"
        return [
            warning(
                f"generation {number} is {how}, and no rebuild runs",
                f"spreaview-sync projections rebuild continues it; spreaview-sync projections "
                f"drop {number} removes it",
            )
        ]
    in_all = counted(len(found), "generation")
    return [ok(f"generation {live[0].number} is live; {in_all} in all")]


class Space(NamedTuple):
    """The space on a disk, in bytes."""

    total: int
    free: int


async def disk(installation: Installation) -> Sequence[Result]:
    """The data folder's disk has space, and nothing makes PostgreSQL's disk fill up."""
    folder = installation.settings.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return [assess_space(existing, Space(usage.total, usage.free))]


async def database_disk(installation: Installation) -> Sequence[Result]:
    """The size of the database, and replication slots that keep WAL."""
    async with installation.engine.connect() as connection:
        size = await database_size(connection)
        slots = await replication_slots(connection)
    unused = [_assess_slot(slot) for slot in slots if not slot.active or slot.is_lost]
    size_text = f"the database has {size / _MIB:,.0f} MiB"
    return unused or [ok(f"{size_text}; PostgreSQL does not report its free space")]


def assess_space(folder: Path, space: Space) -> Result:
    """Judge the free space of a disk."""
    free = f"{space.free / _MIB:,.0f} MiB of {space.total / _MIB:,.0f} MiB are free"
    sentence = f"{free} on the disk of {folder}"
    remedy = "free some space, or set SPREAVIEW_DATA_DIR to a folder on another disk"
    if space.free < _LEAST_FREE:
        return problem(sentence, remedy)
    return warning(sentence, remedy) if space.free < _ENOUGH_FREE else ok(sentence)


def _assess_slot(slot: Slot) -> Result:
    kept = f"keeps {slot.kept_bytes / _MIB:,.0f} MiB of WAL"
    sentence = f"the replication slot {slot.name} is not used and {kept}, which fills the disk"
    remedy = f"start its replica, or SELECT pg_drop_replication_slot('{slot.name}')"
    if slot.is_lost:
        return problem(f"the replication slot {slot.name} is lost: its replica must be made again")
    judge = problem if slot.kept_bytes > _MUCH_WAL else warning
    return judge(sentence, remedy)


_LOG = (Server.DATABASE, Server.LOG)

CHECKS = (
    Check(
        "schema",
        UPDATING,
        schema,
        (Server.DATABASE,),
        reaches=Server.LOG,
        failures=("the database is not migrated", "the database is newer than the program"),
    ),
    Check("locks", REBUILDING, locks, (Server.DATABASE,)),
    Check("transactions", REBUILDING, transactions, (Server.DATABASE,)),
    Check("generations", REBUILDING, generations, _LOG),
    Check(
        "sequence",
        FAILURES,
        sequence,
        _LOG,
        failures=("the database was copied without its sequences",),
    ),
    Check("disk", FAILURES, disk),
    Check("disk of PostgreSQL", FAILURES, database_disk, (Server.DATABASE,)),
)
