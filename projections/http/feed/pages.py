"""Reading the feed from a cursor: from the tail in memory, or from the log if it is older."""

import asyncio
from dataclasses import replace
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.damage import DamagedLogError
from eventstore.log import EventLog
from eventstore.read import read_outcomes, read_streams
from projections.http.feed.batch import PAGE_BYTES, Batch, whole_page
from projections.http.feed.cursor import MAX_POSITION, Cursor, start_of
from projections.http.feed.frames import Filter, frames_of
from projections.http.feed.tail import LogTail

PAGE = 1000
_READERS = 4
"""Clients that may read the log concurrently. The others wait, which keeps new events quick."""

_VERSION_AT = text("""
    SELECT coalesce(max(version), 0) FROM event_store.events
    WHERE stream_id = :stream_id AND position <= :position
""")


class FeedReader:
    """Reads batches for any number of clients."""

    def __init__(self, engine: AsyncEngine, tail: LogTail) -> None:
        self._engine = engine
        self._log = EventLog(engine)
        self._tail = tail
        self._reading = asyncio.Semaphore(_READERS)

    async def knows(self, cursor: Cursor) -> bool:
        """Whether a cursor is of this log, and the log has its event."""
        if cursor.log_id != self._tail.log_id or cursor.position > MAX_POSITION:
            return False
        return cursor == self._tail.head or await _is_of_log(self._log, cursor)

    async def next_batch(
        self, cursor: Cursor, wanted: Filter, *, limit: int | None = None
    ) -> Batch:
        """The next whole outcomes after a cursor that pass the filter.

        An empty batch that is not at the head only moves the cursor, never back. The batch ends
        with the outcome in which `limit` is reached.

        Raises:
            DamagedLogError: the next event cannot be read, or the tail is stuck before one.
        """
        batch = await self._next_batch(cursor, wanted, limit)
        if not batch.at_head or self._tail.fault is None:
            return batch
        if not batch.frames:
            raise DamagedLogError(f"The feed is stuck: {self._tail.fault}")
        return replace(batch, at_head=False)

    async def _next_batch(self, cursor: Cursor, wanted: Filter, limit: int | None) -> Batch:
        tail = self._tail
        if not tail.is_starting:
            if cursor.position > tail.head.position:  # read from the log, or from another process
                return Batch([], cursor, at_head=True)
            if cursor.position >= tail.floor:
                return tail.batch(cursor.position, wanted, limit)
        async with self._reading, self._engine.connect() as connection:
            if wanted.event_id is None:
                rows = await read_outcomes(
                    connection, cursor.position, limit=PAGE, max_bytes=PAGE_BYTES
                )
            else:
                version = await _version_at(connection, wanted.event_id, cursor.position)
                head = tail.head
                rows = await read_streams(connection, {wanted.event_id: version}, limit=PAGE)
                if not rows:  # nothing of this event up to the head as it was before reading
                    return Batch([], max(cursor, head, key=lambda c: c.position), at_head=False)
        if not rows:
            return Batch([], cursor, at_head=True)
        frames = frames_of(tail.log_id, rows)
        frames = frames[: whole_page(frames, wanted, limit)]
        return Batch(wanted.select(frames), frames[-1].cursor, at_head=False)


async def _version_at(connection: AsyncConnection, stream_id: UUID, position: int) -> int:
    found = await connection.execute(_VERSION_AT, {"stream_id": stream_id, "position": position})
    return int(found.scalar_one())


async def _is_of_log(log: EventLog, cursor: Cursor) -> bool:
    """Whether the log has the cursor's event at the cursor's position."""
    if cursor.position == 0:
        return cursor == start_of(cursor.log_id)
    message_id = await log.message_id_at(cursor.position)
    return message_id is not None and message_id.hex[:8] == cursor.mark
