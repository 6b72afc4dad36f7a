"""Clients of the feed: heartbeats lose nothing, and batches are shared and bounded."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from contracts import samples
from contracts.canonical import canonical
from contracts.codec import take_apart
from eventstore.model import Recorded
from projections.http.feed.batch import Batch
from projections.http.feed.cursor import Cursor, cursor_at
from projections.http.feed.frames import Filter
from projections.http.feed.pages import FeedReader
from projections.http.feed.stream import stream
from projections.http.feed.tail import LogTail, Subscription
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.asyncio

LOG = uuid4()
NO_DATABASE = create_async_engine("postgresql+asyncpg://127.0.0.1:1/none")
"""Nothing connects to it."""


def recorded(position: int) -> Recorded:
    event = next(e for e in samples.EVENTS if type(e).__name__ == "SyncStarted")
    plain = take_apart(event)
    return Recorded(
        position,
        samples.EVENT,
        position,
        UUID(int=position),
        plain.type,
        plain.schema_version,
        canonical(plain.data).decode(),
        "{}",
        datetime(2026, 5, 20, tzinfo=UTC),
        b"",
        None,
    )


class LateSubscription(Subscription):
    """An event arrives while the wait ends because nothing came."""

    def __init__(self, tail: "LateTail") -> None:
        super().__init__()
        self._tail = tail

    async def wait(self, seconds: float) -> bool:
        """Report that nothing came."""
        self._tail.grow()
        return False


class LateTail(LogTail):
    """A tail that needs no database; one event arrives, late."""

    def __init__(self) -> None:
        super().__init__(NO_DATABASE, LOG, cast("Any", None), max_bytes=1_000_000)
        self._late = [recorded(1)]

    def grow(self) -> None:
        """Add the late event, once."""
        if self._late:
            self._add([self._late.pop()])

    @contextmanager
    def subscribed(self, event_id: UUID | None) -> Iterator[Subscription]:
        """A subscription that misses the event."""
        yield LateSubscription(self)


async def test_a_heartbeat_never_passes_an_event_that_was_not_sent() -> None:
    tail = LateTail()
    received = []
    client = stream(
        tail,
        FeedReader(NO_DATABASE, tail),
        tail.head,
        Filter(),
        is_allowed=lambda: True,
        heartbeat_seconds=0.01,
        epoch=0,
    )
    async for chunk in client:
        received.append(chunk.decode())
        if len(received) == 4:
            break
    header, caught_up, event, heartbeat = received
    assert "event: header" in header
    assert "event: caught-up" in caught_up
    assert "event: sync-started" in event
    assert heartbeat == f"id: {cursor_at(LOG, 1, UUID(int=1))}\n\n"


class ScanningReader(FeedReader):
    """Every page of the log takes a while, and has nothing for the client."""

    async def next_batch(
        self, cursor: Cursor, wanted: Filter, *, limit: int | None = None
    ) -> Batch:
        """Move the cursor by one event."""
        await asyncio.sleep(0.001)
        position = cursor.position + 1
        return Batch([], cursor_at(LOG, position, UUID(int=position)), at_head=False)


async def test_a_client_that_is_behind_gets_heartbeats_while_nothing_passes_its_filter() -> None:
    tail = LateTail()
    client = stream(
        tail,
        ScanningReader(NO_DATABASE, tail),
        tail.head,
        Filter(),
        is_allowed=lambda: True,
        heartbeat_seconds=0.01,
        epoch=0,
    )
    async with asyncio.timeout(PATIENCE):
        assert "event: header" in (await anext(client)).decode()
        ids = [(await anext(client)).decode() for _ in range(3)]
    positions = [int(each.split(":")[2]) for each in ids]
    assert ids == [f"id: {cursor_at(LOG, at, UUID(int=at))}\n\n" for at in positions]
    assert positions == sorted({*positions})


@pytest.mark.parametrize("event_id", [None, samples.EVENT])
async def test_a_client_that_is_beyond_the_tail_receives_nothing_again(
    event_id: UUID | None,
) -> None:
    tail, wanted = LateTail(), Filter(event_id=event_id)
    reader, cursor = FeedReader(NO_DATABASE, tail), cursor_at(LOG, 3, UUID(int=3))
    tail._add([recorded(1)])
    assert await reader.next_batch(cursor, wanted) == Batch([], cursor, at_head=True)
    tail._add([recorded(position) for position in (2, 3, 4)])
    later = await reader.next_batch(cursor, wanted)
    assert [frame.position for frame in later.frames] == [4]


async def test_clients_at_the_same_place_share_one_batch_until_the_log_grows() -> None:
    tail = LateTail()
    tail._add([recorded(position) for position in (2, 3)])
    first = tail.batch(0, Filter())
    assert tail.batch(0, Filter()) is first
    assert tail.batch(0, Filter(event_id=uuid4())) is not first
    tail._add([recorded(4)])
    assert [frame.position for frame in tail.batch(0, Filter()).frames] == [2, 3, 4]


async def test_a_large_batch_is_written_in_pieces() -> None:
    tail = LateTail()
    tail._add([recorded(position) for position in range(1, 301)])
    batch = tail.batch(0, Filter())
    pieces = list(batch.pieces())
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 64 * 1024
    assert b"".join(pieces) == b"".join(frame.sse for frame in batch.frames)
    assert all(json.loads(frame.json)["position"] == frame.position for frame in batch.frames)
