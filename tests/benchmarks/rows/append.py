"""Row 4: appends per second, compared with plain inserts of the same rows under the same lock.

Plain is what an event store cannot do without: the same rows by one `unnest`, in order, durably,
without versions, inbox, chain or erasures. COPY of the same rows is shown in a note.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

import asyncpg

from contracts.canonical import canonical
from contracts.codec import take_apart
from contracts.events import RoomImported
from eventstore.append import LOG_LOCK
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from tests.benchmarks.harness import Result, Size, Stopwatch, compare, peer
from tests.benchmarks.servers import Servers

_SHAPES = ((1, 100), (8, 100), (8, 1000))
_EVENTS = {"quick": 8_000, "full": 40_000, "long": 160_000}

_INSERT = """
    INSERT INTO event_store.events
        (stream_id, version, message_id, type, schema_version, data, metadata, recorded_at, hash)
    SELECT $1, e.version, e.message_id, 'RoomImported', 1, e.data, '{}', clock_timestamp(), $2
    FROM unnest($3::bigint[], $4::uuid[], $5::jsonb[]) AS e (version, message_id, data)
"""
_LOCK = "SELECT pg_advisory_xact_lock($1)"
_COLUMNS = ("stream_id", "version", "message_id", "type", "schema_version", "data", "metadata",
            "recorded_at", "hash")  # fmt: skip
_HASH = bytes(32)


def _event(stream_id: UUID) -> NewEvent:
    """An event of about 550 bytes."""
    room = RoomImported(
        room_id=stream_id,
        sessionize_id="4711",
        name="Hall " * 36,
        sort=1,
        sync_id=stream_id,
        organization_id=stream_id,
        spreaview_event_id=stream_id,
        change="added",
        changed_fields=(),
    )
    return NewEvent(uuid4(), room)


async def _append(log: EventLog, appends: int, size: int) -> None:
    stream_id = uuid4()
    for number in range(appends):
        events = [_event(stream_id) for _ in range(size)]
        await log.append(Commit(stream_id, number * size, events, inbox=uuid4()))


def _rows(stream_id: UUID, size: int) -> tuple[list[UUID], list[str]]:
    events = [_event(stream_id) for _ in range(size)]
    return [one.message_id for one in events], [
        canonical(take_apart(one.event).data).decode() for one in events
    ]


async def _plain(pool: asyncpg.Pool, appends: int, size: int) -> None:
    stream_id = uuid4()
    for number in range(appends):
        ids, data = _rows(stream_id, size)
        versions = range(number * size + 1, number * size + size + 1)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, LOG_LOCK)
            await connection.execute(_INSERT, stream_id, _HASH, list(versions), ids, data)


async def _copy(pool: asyncpg.Pool, appends: int, size: int) -> None:
    stream_id = uuid4()
    for number in range(appends):
        ids, data = _rows(stream_id, size)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, LOG_LOCK)
            now = await connection.fetchval("SELECT clock_timestamp()")
            await connection.copy_records_to_table(
                "events",
                schema_name="event_store",
                columns=_COLUMNS,
                records=[
                    (stream_id, number * size + n, message_id, "RoomImported", 1, one, "{}", now,
                     _HASH)
                    for n, (message_id, one) in enumerate(zip(ids, data, strict=True), start=1)
                ],
            )  # fmt: skip


Way = Callable[[int, int], Awaitable[None]]
"""Appends a number of batches of a size to a new stream."""


async def _rate(way: Way, writers: int, appends: int, batch: int) -> float:
    with Stopwatch() as watch:
        await asyncio.gather(*(way(appends, batch) for _ in range(writers)))
    return writers * appends * batch / watch.seconds


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of each number of writers and size of an append."""
    async with servers.database() as (url, engine), asyncpg.create_pool(url, min_size=8) as pool:
        for writers, batch in _SHAPES[: 2 if size == "quick" else None]:
            appends = max(2, _EVENTS[size] // writers // batch)
            shape = (writers, appends, batch)
            copied = await _rate(partial(_copy, pool), *shape)
            theirs = (url, str(writers), str(batch), str(appends))
            yield await compare(
                "4",
                f"append {writers} × {batch}",
                ours=partial(_rate, partial(_append, EventLog(engine)), *shape),
                floor=partial(_rate, partial(_plain, pool), *shape),
                partner="plain unnest",
                target=0.9,
                rounds=3 if size == "quick" else 7,
                peers={"pyeventsourcing": partial(peer, "eventsourcing_append.py", *theirs)},
                ahead=1.3,
                note=f"COPY {copied:,.0f}/s",
            )
