"""Reading the log: events by position, by stream and by id, and whole outcomes of runs.

Readers of the log need no lock: no event ever appears behind a position that was read.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import CUT_TYPES
from eventstore.driver import Executor, read_rows
from eventstore.model import Recorded, recorded_of, recorded_of_all

PAGE = 1000
"""Events per read: limits the memory of a reader, however long the log is."""

HINTED_EVENTS = 10 * PAGE
"""Events whose streams are looked up together."""

PAGE_BYTES = 8 * 1024 * 1024
"""As stored, compressed. A page of long events ends after the event that exceeds this."""

# Null for a time that Python's calendar does not have, as only a manipulation can store.
READABLE_TIME = """CASE WHEN e.recorded_at BETWEEN '0002-01-01Z' AND '9998-12-31Z'
                THEN e.recorded_at END AS recorded_at"""

# A sub-select per event: a join may read the personal data of the whole log.
_EVENT = f"""
           e.position, e.stream_id, e.version, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, {READABLE_TIME}, e.hash,
           (SELECT p.body::text FROM event_store.personal_data p
            WHERE p.message_id = e.message_id LIMIT 1) AS personal
"""  # noqa: S608 (of constants)

# Always the first event; the others while the total size (as stored, compressed) allows.
READ_ALL = text(f"""
    SELECT {_EVENT}
    FROM (
        SELECT *, coalesce(sum(pg_column_size(data)) OVER (
                      ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
                  AS before
        FROM event_store.events
        WHERE position > :after
        ORDER BY position
        LIMIT :limit
    ) e
    WHERE e.before < :bytes
    ORDER BY e.position
""")  # noqa: S608 (of constants)

READ_STREAM = text(f"""
    SELECT {_EVENT}
    FROM event_store.events e
    WHERE e.stream_id = :stream_id AND e.version > :after
    ORDER BY e.version
    LIMIT :limit
""")  # noqa: S608 (of constants)

READ_EVENT = text(f"""
    SELECT {_EVENT}
    FROM event_store.events e
    WHERE e.message_id = :message_id
""")  # noqa: S608 (of constants)

# Reads only as many streams as fill the limit, each by its own index. So the cost grows neither
# with the log nor with the number of streams that wait, even with stale planner statistics.
READ_STREAMS = text(f"""
    SELECT {_EVENT}
    FROM (
        SELECT w.stream_id, w.version, sum(s.version - w.version) OVER (ORDER BY w.stream_id)
                                       - (s.version - w.version) AS before
        FROM unnest(CAST(:stream_ids AS uuid[]), CAST(:versions AS bigint[]))
             AS w (stream_id, version)
        JOIN event_store.streams s ON s.stream_id = w.stream_id AND s.version > w.version
    ) wanted
    CROSS JOIN LATERAL (
        SELECT * FROM event_store.events
        WHERE stream_id = wanted.stream_id AND version > wanted.version
        ORDER BY version
        LIMIT :limit
    ) e
    WHERE wanted.before < :limit
    ORDER BY e.position
    LIMIT :limit
""")  # noqa: S608 (of constants)

CHANGED_STREAMS = text("""
    SELECT max(position) AS position, array_agg(DISTINCT stream_id ORDER BY stream_id) AS streams
    FROM (SELECT position, stream_id FROM event_store.events
          WHERE position > :after ORDER BY position LIMIT :limit) AS beyond
""")

STREAM_VERSION = text("SELECT version FROM event_store.streams WHERE stream_id = :stream_id")

EVENT_AT = text("SELECT message_id FROM event_store.events WHERE position = :position")

LAST_EVENT = text("""
    SELECT position, message_id FROM event_store.events
    WHERE position <= :position ORDER BY position DESC LIMIT 1
""")

HEAD = text("SELECT coalesce(max(position), 0) FROM event_store.events")

BEHIND = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM event_store.events
                                  WHERE position > :after LIMIT :most) AS beyond) AS events,
           (SELECT CASE WHEN isfinite(recorded_at) THEN clock_timestamp() - recorded_at END
            FROM event_store.events
            WHERE position > :after ORDER BY position LIMIT 1) AS age
""")


class Behind(NamedTuple):
    """The distance of a reader from the head of the log."""

    events: int
    seconds: float
    """Age of the oldest unread event; 0 if all are read."""


class LogReader:
    """Reads the append-only log in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # One statement needs no transaction: BEGIN and ROLLBACK would be two more round trips.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read_all(self, after: int, *, limit: int = PAGE) -> list[Recorded]:
        """Return the next events after a position, in order, up to `limit` and up to a page.

        The position of the last one is the next `after`. No event ever appears behind it.

        Raises:
            UnreadableEventError: as every method that returns events, for an impossible time.
        """
        found = await read_rows(
            self._reading, READ_ALL, {"after": after, "limit": limit, "bytes": PAGE_BYTES}
        )
        return recorded_of_all(found.all())

    async def read_stream(
        self, stream_id: UUID, *, after: int = 0, page: int = PAGE
    ) -> AsyncIterator[Recorded]:
        """Yield the events of a stream after a version, in order, read page by page."""
        while True:
            async with self._reading.connect() as connection:
                found = await connection.execute(
                    READ_STREAM,
                    {"stream_id": stream_id, "after": after, "limit": page},
                )
                rows = recorded_of_all(found)
            for row in rows:
                yield row
            if len(rows) < page:
                return
            after = rows[-1].version

    async def event(self, message_id: UUID) -> Recorded | None:
        """Return the event with a message id, if it is in the log."""
        async with self._reading.connect() as connection:
            found = await connection.execute(READ_EVENT, {"message_id": message_id})
            row = found.one_or_none()
        return None if row is None else recorded_of(row)

    async def stream_version(self, stream_id: UUID) -> int:
        """Return the version of a stream's newest event; 0 if the stream does not exist."""
        async with self._reading.connect() as connection:
            found = await connection.execute(STREAM_VERSION, {"stream_id": stream_id})
            return int(found.scalar_one_or_none() or 0)

    async def head(self) -> int:
        """Return the position of the newest event; 0 if the log is empty."""
        async with self._reading.connect() as connection:
            position: int = (await connection.execute(HEAD)).scalar_one()
        return position

    async def message_id_at(self, position: int) -> UUID | None:
        """Return the message id of the event at a position, if there is one."""
        async with self._reading.connect() as connection:
            found = await connection.execute(EVENT_AT, {"position": position})
            message_id_found: UUID | None = found.scalar_one_or_none()
        return message_id_found

    async def last_event(self, position: int) -> tuple[int, UUID] | None:
        """Return position and message id of the newest event at or before a position."""
        async with self._reading.connect() as connection:
            found = await connection.execute(LAST_EVENT, {"position": position})
            row = found.one_or_none()
        return None if row is None else (row.position, row.message_id)

    async def changed_streams(
        self, after: int, *, limit: int = HINTED_EVENTS
    ) -> tuple[int, list[UUID]]:
        """Return the last position of the next events after a position, and their streams."""
        found = await read_rows(self._reading, CHANGED_STREAMS, {"after": after, "limit": limit})
        position, streams = found.one()
        return (after, []) if position is None else (position, streams)

    async def behind(self, after: int, most: int = 100_000) -> Behind:
        """Count the events after a position, up to `most`."""
        async with self._reading.connect() as connection:
            found = await connection.execute(BEHIND, {"after": after, "most": most})
            row = found.one()
        return Behind(row.events, row.age.total_seconds() if row.age else 0.0)


async def read_streams(
    connection: AsyncConnection, versions: Mapping[UUID, int], *, limit: int = PAGE
) -> list[Recorded]:
    """Return events of many streams, each after its own version, as whole outcomes.

    Returns about `limit` events of some of the streams, in the order of the log, and more only if
    a single outcome is larger. Later calls return the others; an empty list means all are read.
    Runs in the caller's transaction.
    """
    return (await read_page_of_streams(connection, versions, limit=limit)).events


class StreamsPage(NamedTuple):
    """Events of many streams, as whole outcomes."""

    events: list[Recorded]
    is_last: bool
    """Whether the streams had no other events when they were read."""


async def read_page_of_streams(
    connection: Executor, versions: Mapping[UUID, int], *, limit: int = PAGE
) -> StreamsPage:
    """As `read_streams`, with the answer whether this was all."""
    while True:
        found = await connection.execute(
            READ_STREAMS,
            {
                "stream_ids": list(versions.keys()),
                "versions": list(versions.values()),
                "limit": limit,
            },
        )
        rows = recorded_of_all(found.all())
        if len(rows) < limit:
            return StreamsPage(rows, is_last=True)
        if whole := _whole_outcomes(rows):
            return StreamsPage(whole, is_last=False)
        limit *= 4


async def read_outcomes(
    connection: AsyncConnection, after: int, *, limit: int, max_bytes: int = PAGE_BYTES
) -> list[Recorded]:
    """Return the next events of the log after a position, in order, as whole outcomes.

    Returns about `limit` events or `max_bytes` (as stored), and more only if a single outcome is
    larger. The position of the last one is the next `after`; an empty list means all are read.
    """
    seen = -1
    while True:
        found = await connection.execute(
            READ_ALL, {"after": after, "limit": limit, "bytes": max_bytes}
        )
        rows = recorded_of_all(found)
        if whole := _whole_prefix(rows):
            return rows[:whole]
        if not rows or (len(rows) == seen and _size_of(rows) < max_bytes):
            return rows  # a larger page returned nothing more: the end
        seen, limit, max_bytes = len(rows), limit * 4, max_bytes * 4


def _size_of(rows: Sequence[Recorded]) -> int:
    """Bytes as stored, at most: a character has up to 4."""
    return 4 * sum(len(row.stored_data) for row in rows)


def _whole_prefix(rows: Sequence[Recorded]) -> int:
    """Number of rows up to the last one at which no stream is within an outcome."""
    within: set[UUID] = set()
    whole = 0
    for number, row in enumerate(rows, start=1):
        if row.type in CUT_TYPES:
            within.discard(row.stream_id)
        else:
            within.add(row.stream_id)
        if not within:
            whole = number
    return whole


def _whole_outcomes(rows: Sequence[Recorded]) -> list[Recorded]:
    """Drop the events of each stream after its last whole outcome."""
    last_cut = {row.stream_id: row.version for row in rows if row.type in CUT_TYPES}
    return [row for row in rows if row.version <= last_cut.get(row.stream_id, 0)]
