"""One client of the live feed, as a generator of `text/event-stream`."""

import asyncio
from collections.abc import AsyncIterator, Callable

from eventstore.damage import DamagedLogError
from eventstore.errors import is_database_outage
from projections.http.feed.batch import Batch
from projections.http.feed.cursor import Cursor, start_of
from projections.http.feed.frames import Filter, control, heartbeat
from projections.http.feed.pages import FeedReader
from projections.http.feed.tail import LogTail
from projections.http.feed.timer import Timer


async def stream(
    tail: LogTail,
    reader: FeedReader,
    cursor: Cursor,
    wanted: Filter,
    *,
    is_allowed: Callable[[], bool],
    heartbeat_seconds: float,
    epoch: int,
    first: Batch | None = None,
    reset: bool = False,
) -> AsyncIterator[bytes]:
    """Yield the feed from a cursor: `header`, whole outcomes, `caught-up`, and heartbeats.

    `header` names where the feed really begins. `caught-up` follows when everything up to the
    head was sent, again after each time that the client was behind by more than a page. A
    heartbeat follows when nothing was sent for `heartbeat_seconds`: it moves the cursor of a client
    whose filter passes nothing, also while it is behind.
    With `reset`, the cursor is the start of the log: what the client has is not of this log.
    `epoch` is the one of the tail before the cursor was checked; `first` is the batch after the
    cursor, if it was read already.
    The feed ends when the log cannot be read, or `is_allowed` returns False: it is called every
    `heartbeat_seconds`, also while many events come.
    """
    erasures = tail.erasures
    if reset:
        yield control("reset", cursor, reason="the cursor is not of this log")
    yield control("header", cursor, log=str(tail.log_id), head=str(tail.head))
    was_behind = True
    check, silence = Timer(heartbeat_seconds), Timer(heartbeat_seconds)
    with tail.subscribed(wanted.event_id) as subscription:
        while True:
            if check.left <= 0:
                if not is_allowed():
                    return
                check.restart()
            if tail.epoch != epoch:
                epoch, cursor, was_behind = tail.epoch, start_of(tail.log_id), True
                first = None
                yield control("reset", cursor, reason="the log was restored or replaced")
            try:
                batch = first or await reader.next_batch(cursor, wanted)
            except Exception as error:
                if is_database_outage(error) or isinstance(error, DamagedLogError):
                    return  # the client connects again, and gets the reason
                raise
            first = None
            if tail.epoch != epoch:
                continue
            cursor, at_head = batch.cursor, batch.at_head
            if batch.frames:
                for piece in batch.pieces():
                    yield piece
                del piece
                silence.restart()
            del batch  # no client keeps a person that is erased while it waits
            if at_head and was_behind:
                was_behind = False
                yield control("caught-up", cursor)
                silence.restart()
            elif silence.left <= 0 or tail.erasures != erasures:  # all up to the cursor was sent
                erasures = tail.erasures
                yield heartbeat(cursor)  # in memory it replaces the bytes that were sent last
                silence.restart()
            if at_head:
                await subscription.wait(max(0, min(silence.left, check.left)))
            else:
                was_behind = True
                await asyncio.sleep(0)  # let the others have their turn
