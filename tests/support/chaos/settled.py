"""Waits until no work is left, and reads the evidence."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from tests.support.chaos.load import Load
from tests.support.chaos.oracle.log import Log, read_log
from tests.support.chaos.oracle.names import (
    DEAD_LETTERS,
    IMPORT_EVENTS,
    PROJECTORS,
    SYNC_REQUESTS,
    WORKERS,
)
from tests.support.chaos.oracle.topic import Topic, committed, read_topic
from tests.support.chaos.oracle.views import PASSING, Snapshot, look
from tests.support.chaos.stack import Stack
from tests.support.chaos.world import Form

_LOOK_SECONDS = 0.5
_BEGIN_SECONDS = 240.0
_REST_SECONDS = 20.0

_UNENDED = """
    SELECT count(*) FROM unnest($1::uuid[]) AS asked (id)
    WHERE NOT EXISTS (SELECT FROM event_store.events e
                      WHERE e.type IN ('SyncCompleted', 'SyncFailed')
                        AND e.data->>'sync_id' = asked.id::text)
"""
_ENDED = "SELECT EXISTS (SELECT FROM event_store.events WHERE type = 'SyncCompleted')"
_LAGGING = """
    SELECT count(*) FROM event_store.streams s
    LEFT JOIN spreaview.stream_progress p ON p.spreaview_event_id = s.stream_id
    WHERE coalesce(p.version, 0) < s.version
"""


@dataclass
class Evidence:
    """The evidence, read at the end."""

    log: Log
    committed: Topic
    uncommitted: Topic
    letters: Topic
    requests: Topic
    workers: dict[int, int]
    """Offsets that the workers have committed, by partition."""
    projectors: dict[int, int]
    final: list[Snapshot]


async def rest(stack: Stack, load: Load) -> bool:
    """Wait until every request so far has a projected outcome; False after a time limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            while True:
                try:
                    async with _connected(stack) as connection:
                        await _database_settles(connection, load)
                except PASSING:
                    await asyncio.sleep(_LOOK_SECONDS)
                else:
                    return True
    return False


async def settle(stack: Stack, load: Load, seconds: float) -> bool:
    """Wait until no work is left; return False if the time limit comes first."""
    try:
        async with asyncio.timeout(seconds):
            await load.confirmed()
            async with _connected(stack) as connection:
                await _database_settles(connection, load)
            while not await _topics_settled(stack):  # noqa: ASYNC110 (others change it)
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


async def begun(stack: Stack) -> None:
    """Return when the first run has an outcome, and so all parts are connected."""
    async with asyncio.timeout(_BEGIN_SECONDS), _connected(stack) as connection:
        while not await connection.fetchval(_ENDED):  # noqa: ASYNC110 (others write it)
            await asyncio.sleep(_LOOK_SECONDS)


async def collect(stack: Stack, event_ids: Sequence[UUID]) -> Evidence:
    """Read log, topics, offsets and read models. Call it after the end of all processes."""
    address = stack.kafka.address
    async with _connected(stack) as connection:
        log = await read_log(connection)
        final = [await look(connection, event_id) for event_id in event_ids]
    requests = await read_topic(address, SYNC_REQUESTS, "read_committed")
    events = await read_topic(address, IMPORT_EVENTS, "read_committed")
    return Evidence(
        log=log,
        committed=events,
        uncommitted=await read_topic(address, IMPORT_EVENTS, "read_uncommitted"),
        letters=await read_topic(address, DEAD_LETTERS, "read_committed"),
        requests=requests,
        workers=await committed(address, SYNC_REQUESTS, WORKERS, requests.ends()),
        projectors=await committed(address, IMPORT_EVENTS, PROJECTORS, events.ends()),
        final=final,
    )


async def the_log(stack: Stack) -> Log:
    """Read the log as it is now."""
    async with _connected(stack) as connection:
        return await read_log(connection)


@asynccontextmanager
async def _connected(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.database.url)
    try:
        yield connection
    finally:
        await connection.close()


async def _database_settles(connection: asyncpg.Connection, load: Load) -> None:
    asked = [one.record.request_id for one in load.published if one.record.form is not Form.POISON]
    while True:
        unended = await connection.fetchval(_UNENDED, asked)
        if not unended and not await connection.fetchval(_LAGGING):
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _topics_settled(stack: Stack) -> bool:
    address = stack.kafka.address
    log = await the_log(stack)
    events = await read_topic(address, IMPORT_EVENTS, "read_committed")
    if {event.message_id for event in log.events} - {record.id for record in events.records}:
        return False
    for topic, group, read in (
        (SYNC_REQUESTS, WORKERS, await read_topic(address, SYNC_REQUESTS, "read_committed")),
        (IMPORT_EVENTS, PROJECTORS, events),
    ):
        ends = read.ends()
        done = await committed(address, topic, group, ends)
        if any(done[partition] < end for partition, end in ends.items()):
            return False
    return True
