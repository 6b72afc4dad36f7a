"""One client of the feed: nothing is lost in the moment in which a heartbeat is due."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from contracts import samples
from contracts.canonical import canonical
from contracts.codec import take_apart
from eventstore.model import Recorded
from projections.http.feed.cursor import cursor_at
from projections.http.feed.frames import Filter
from projections.http.feed.pages import FeedReader
from projections.http.feed.stream import stream
from projections.http.feed.tail import LogTail, Subscription

pytestmark = pytest.mark.asyncio

LOG = uuid4()


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
        super().__init__(cast("Any", None), LOG, cast("Any", None), max_bytes=1_000_000)
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
        FeedReader(cast("Any", None), tail),
        tail.head,
        Filter(),
        is_allowed=lambda: True,
        heartbeat_seconds=0.01,
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
