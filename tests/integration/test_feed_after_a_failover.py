"""The feed after a failover that lost the last events, and put others at their positions.

The id of the log is the same then. Nothing but the events themselves shows what has happened.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.http.feed.cursor import cursor_at
from projections.http.feed.frames import Filter
from projections.http.feed.pages import FeedReader
from projections.http.feed.stream import stream
from projections.http.feed.tail import LogTail, read_log_id
from tests.support.http_side import http_side_without_kafka
from tests.support.processes import PATIENCE
from tests.support.streams import append_started, change_log

pytestmark = pytest.mark.asyncio


async def fail_over(
    engine: AsyncEngine, lost: Sequence[int], other: str = "message_id = gen_random_uuid()"
) -> None:
    """Put other events at these positions."""
    places = ", ".join(map(str, lost))
    await change_log(
        engine,
        f"UPDATE event_store.events SET {other} WHERE position IN ({places})",
        stream=uuid4(),
    )


async def marks(engine: AsyncEngine) -> list[str]:
    """The cursors of all events, in order."""
    log = EventLog(engine)
    log_id = (await log.identity()).log_id
    return [
        str(cursor_at(log_id, each.position, each.message_id)) for each in await log.read_all(0)
    ]


@asynccontextmanager
async def following(engine: AsyncEngine) -> AsyncIterator[LogTail]:
    """A tail that follows the log, and has compared it with its head: the next time is far."""
    has_compared = asyncio.Event()

    async def wait() -> None:
        has_compared.set()
        await asyncio.sleep(0.01)

    tail = LogTail(engine, await read_log_id(engine), wait, max_bytes=1_000_000)
    await tail.start()
    task = asyncio.create_task(tail.follow())
    await has_compared.wait()
    try:
        yield tail
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("other", ["message_id = gen_random_uuid()", "hash = sha256(hash)"])
async def test_a_tail_never_reads_on_behind_a_lost_event(engine: AsyncEngine, other: str) -> None:
    positions = [await append_started(engine) for _ in range(3)]
    async with following(engine) as tail:
        epoch = tail.epoch
        await fail_over(engine, positions[1:], other)
        newest = await append_started(engine)
        async with asyncio.timeout(PATIENCE):
            while tail.head.position != newest:  # noqa: ASYNC110 (it is a plain attribute)
                await asyncio.sleep(0.01)
        found = tail.batch(0, Filter())
    assert tail.epoch > epoch
    assert [str(frame.cursor) for frame in found.frames] == await marks(engine)


async def test_a_client_that_comes_while_the_tail_changes_gets_a_reset(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = [await append_started(engine) for _ in range(3)]
    async with following(engine) as tail:
        cursor, reader = tail.head, FeedReader(engine, tail)
        changing, may_change, has_received = asyncio.Event(), asyncio.Event(), asyncio.Event()
        last_event, read = EventLog.last_event, LogTail._read

        async def slowly(log: EventLog, position: int) -> Any:
            changing.set()
            await may_change.wait()
            return await last_event(log, position)

        async def after_the_client(tail: LogTail) -> Any:
            if may_change.is_set():
                await has_received.wait()
            return await read(tail)

        monkeypatch.setattr(EventLog, "last_event", slowly)
        monkeypatch.setattr(LogTail, "_read", after_the_client)
        await fail_over(engine, positions[1:])
        await append_started(engine)
        await changing.wait()
        epoch = tail.epoch
        assert await reader.knows(cursor)  # the tail still holds the lost log
        client = stream(
            tail,
            reader,
            cursor,
            Filter(),
            is_allowed=lambda: True,
            heartbeat_seconds=0.01,
            epoch=epoch,
        )
        received = [(await anext(client)).decode() for _ in range(2)]
        may_change.set()
        async with asyncio.timeout(PATIENCE):
            while "event: reset" not in received[-1]:
                assert "event: sync-started" not in received[-1]
                received.append((await anext(client)).decode())
            events = (await anext(client)).decode()
        has_received.set()
    assert events.count("event: sync-started") == 4


async def test_a_long_poll_over_a_failover_is_a_reset(
    engine: AsyncEngine, database_url: str
) -> None:
    positions = [await append_started(engine) for _ in range(3)]
    async with http_side_without_kafka(database_url) as side:
        page = (await side.client.get("/v1/import-events")).json()
        waiting = asyncio.create_task(
            side.client.get(
                "/v1/import-events", params={"after": page["next"]}, headers={"Prefer": "wait=60"}
            )
        )
        await asyncio.sleep(0)
        await fail_over(engine, positions[1:])
        await append_started(engine)
        answer = await waiting
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:spreaview:problem:reset")
