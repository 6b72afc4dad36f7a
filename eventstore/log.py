"""`EventLog`: what the floors above see of the log."""

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import CUT_TYPES
from contracts.identity import OUTCOME, message_id
from eventstore import append, statements
from eventstore.model import (
    Appended,
    Commit,
    Recorded,
    Snapshot,
)

PAGE = 1000
"""Events per read: what a reader holds in memory at most, whatever the length of the log."""

PAGE_BYTES = 8 * 1024 * 1024
"""As stored, compressed: a page of long events ends early, after the one that goes beyond this."""


class LogIdentity(NamedTuple):
    """What is made once with a log and goes with it."""

    log_id: UUID
    """Names the log in `ce_source`."""
    fingerprint_key: bytes
    """Keys the fingerprints of API IDs. Never leaves the process, is never logged."""


class RunRecord(NamedTuple):
    """What the log has of a run."""

    now: datetime
    """By the database's clock."""
    begun_in: UUID | None
    """The stream that has its `SyncStarted`."""
    ended_in: UUID | None
    """The stream that has its outcome."""


class Behind(NamedTuple):
    """How far a reader of the log is behind."""

    events: int
    seconds: float
    """Age of the oldest event that it has not read; 0 if there is none."""


class Unpublished(NamedTuple):
    """An event that is in the log and could not be published."""

    position: int
    message_id: UUID
    reason: str
    since: datetime


class EventLog:
    """The append-only log in PostgreSQL, read and written through one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def identity(self) -> LogIdentity:
        """The identity of this log."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(statements.IDENTITY)).one()
        return LogIdentity(row.log_id, row.fingerprint_key)

    async def clock_and_run(self, sync_id: UUID) -> "RunRecord":
        """The database's clock, and what the log has of a run."""
        ids = {"started_id": message_id(sync_id, 0), "outcome_id": message_id(sync_id, OUTCOME)}
        async with self._engine.connect() as connection:
            row = (await connection.execute(statements.CLOCK_AND_RUN, ids)).one()
        return RunRecord(row.now, row.begun_in, row.ended_in)

    async def append(self, commit: Commit) -> Appended:
        """Append atomically; guarantees and errors are those of `eventstore.append.append`.

        await log.append(Commit(stream_id, version, [NewEvent(message_id, event)]))
        """
        return await append.append(self._engine, commit)

    async def stream_version(self, stream_id: UUID) -> int:
        """Version of a stream's newest event; 0 for a stream that does not exist."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.STREAM_VERSION, {"stream_id": stream_id})
            return int(found.scalar_one_or_none() or 0)

    async def message_id_at(self, position: int) -> UUID | None:
        """Which event has a position, if any."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.EVENT_AT, {"position": position})
            message_id_found: UUID | None = found.scalar_one_or_none()
        return message_id_found

    async def event(self, message_id: UUID) -> Recorded | None:
        """The event of a message id, if it is in the log."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.READ_EVENT, {"message_id": message_id})
            row = found.one_or_none()
        return None if row is None else Recorded(*row)

    async def last_event(self, position: int) -> tuple[int, UUID] | None:
        """Position and message id of the newest event at or before a position."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.LAST_EVENT, {"position": position})
            row = found.one_or_none()
        return None if row is None else (row.position, row.message_id)

    async def behind(self, after: int, most: int = 100_000) -> Behind:
        """What lies beyond a position; more than `most` events are not counted."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.BEHIND, {"after": after, "most": most})
            row = found.one()
        return Behind(row.events, row.age.total_seconds() if row.age else 0.0)

    async def unpublished(self) -> list[Unpublished]:
        """The events that the broker refused for their size."""
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.UNPUBLISHED)
            return [Unpublished(*row) for row in found]

    async def head(self) -> int:
        """Position of the newest event; 0 for an empty log."""
        async with self._engine.connect() as connection:
            position: int = (await connection.execute(statements.HEAD)).scalar_one()
        return position

    async def read_all(self, after: int, *, limit: int = PAGE) -> list[Recorded]:
        """The next events of the log beyond a position, at most `limit` and a page, in order.

        The last one's position is the next `after`. No event ever appears behind it.
        """
        async with self._engine.connect() as connection:
            found = await connection.execute(
                statements.READ_ALL, {"after": after, "limit": limit, "bytes": PAGE_BYTES}
            )
            return [Recorded(*row) for row in found]

    async def read_stream(
        self, stream_id: UUID, *, after: int = 0, page: int = PAGE
    ) -> AsyncIterator[Recorded]:
        """The events of one stream beyond a version, in order, read page by page."""
        while True:
            async with self._engine.connect() as connection:
                found = await connection.execute(
                    statements.READ_STREAM,
                    {"stream_id": stream_id, "after": after, "limit": page},
                )
                rows = [Recorded(*row) for row in found]
            for row in rows:
                yield row
            if len(rows) < page:
                return
            after = rows[-1].version

    async def snapshot(self, stream_id: UUID, fold_version: str) -> Snapshot | None:
        """The newest snapshot of a stream that this fold has made, if there is one."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                statements.READ_SNAPSHOT, {"stream_id": stream_id, "fold_version": fold_version}
            )
            row = found.one_or_none()
        return None if row is None else Snapshot(*row)

    async def erased_speakers(self, organization_id: UUID) -> frozenset[UUID]:
        """The speakers of an organization who asked to be forgotten."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                statements.ERASED_SPEAKERS, {"organization_id": organization_id}
            )
            return frozenset(found.scalars())

    async def prune_sources(self, age: timedelta) -> int:
        """Delete documents that no run has rested on for so long; how many. Digests stay."""
        async with self._engine.begin() as connection:
            deleted = await connection.execute(statements.PRUNE_SOURCES, {"age": age})
            return int(deleted.rowcount)

    async def source(self, digest: str) -> bytes | None:
        """The exact document behind a run, or None where none is kept (any more)."""
        async with self._engine.connect() as connection:
            body = (
                await connection.execute(statements.READ_SOURCE, {"digest": bytes.fromhex(digest)})
            ).scalar_one_or_none()
        return None if body is None else zlib.decompress(body)


async def read_streams(
    connection: AsyncConnection, versions: Mapping[UUID, int], *, limit: int = PAGE
) -> list[Recorded]:
    """Events of many streams, of each those beyond its version: whole outcomes only.

    About `limit` events of some of the streams, in the order of the log, more only if a single
    outcome is larger; what is left out is a later call's. Empty when nothing lies beyond. Runs in
    the caller's transaction.
    """
    while True:
        found = await connection.execute(
            statements.READ_STREAMS,
            {
                "stream_ids": list(versions.keys()),
                "versions": list(versions.values()),
                "limit": limit,
            },
        )
        rows = [Recorded(*row) for row in found]
        if len(rows) < limit:
            return rows
        if whole := _whole_outcomes(rows):
            return whole
        limit *= 4


async def read_outcomes(
    connection: AsyncConnection, after: int, *, limit: int, max_bytes: int = PAGE_BYTES
) -> list[Recorded]:
    """The next events of the whole log beyond a position, in order: whole outcomes only.

    About `limit` events or `max_bytes` as stored, more only if a single outcome is larger. The
    last one's position is the next `after`. Empty when nothing lies beyond.
    """
    seen = -1
    while True:
        found = await connection.execute(
            statements.READ_ALL, {"after": after, "limit": limit, "bytes": max_bytes}
        )
        rows = [Recorded(*row) for row in found]
        whole = _whole_prefix(rows)
        if whole or len(rows) == seen:  # more was asked for and is not there: this is the end
            return rows[:whole] if whole else rows
        seen, limit, max_bytes = len(rows), limit * 4, max_bytes * 4


def _whole_prefix(rows: Sequence[Recorded]) -> int:
    """How many rows there are up to the last at which no stream is within an outcome."""
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
    """The rows without each stream's events after its last cut."""
    last_cut = {row.stream_id: row.version for row in rows if row.type in CUT_TYPES}
    return [row for row in rows if row.version <= last_cut.get(row.stream_id, 0)]
