"""`EventLog`: the log as the floors above use it."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from contracts.identity import OUTCOME, message_id
from eventstore import append, checkpoints, erasure, restored, snapshots, sources
from eventstore.checkpoints import Unpublished
from eventstore.damage import NoLogIdentityError
from eventstore.driver import read_rows
from eventstore.model import Appended, Commit, Snapshot
from eventstore.read import LogReader

CLOCK = text("SELECT clock_timestamp() AS now")

LOG_ID = text("SELECT log_id FROM event_store.log")

IDENTITY = text("SELECT log_id, fingerprint_key FROM event_store.log")

CLOCK_AND_RUN = text("""
    SELECT clock_timestamp() AS now,
           (SELECT stream_id FROM event_store.events WHERE message_id = :started_id) AS begun_in,
           (SELECT stream_id FROM event_store.events WHERE message_id = :outcome_id) AS ended_in
""")

# All that a run needs to know before it starts, in one round trip.
OPENING = text("""
    SELECT clock_timestamp() AS now,
           (SELECT stream_id FROM event_store.events WHERE message_id = :started_id) AS begun_in,
           (SELECT stream_id FROM event_store.events WHERE message_id = :outcome_id) AS ended_in,
           coalesce(s.version, 0) AS version,
           p.version AS snapshot_version, p.fold_version, p.body,
           ARRAY(SELECT subject FROM event_store.erased_subjects
                 WHERE organization_id = :organization_id) AS erased
    FROM (VALUES (CAST(:stream_id AS uuid))) AS wanted (stream_id)
    LEFT JOIN event_store.streams s USING (stream_id)
    LEFT JOIN event_store.snapshots p
      ON p.stream_id = s.stream_id AND p.version <= s.version AND p.fold_version = :fold_version
""")


class LogIdentity(NamedTuple):
    """Identity of a log, created with it once."""

    log_id: UUID
    """Identifies the log in `ce_source`."""
    fingerprint_key: bytes
    """Key of the fingerprints of API IDs. It never leaves the process and is never logged."""


class RunRecord(NamedTuple):
    """The events of a run in the log, and the time."""

    now: datetime
    """Time of the database's clock."""
    begun_in: UUID | None
    """Stream of its `SyncStarted`."""
    ended_in: UUID | None
    """Stream of its outcome."""


class Opening(NamedTuple):
    """The log as a run finds it, at one moment."""

    run: RunRecord
    version: int
    """Version of the stream's newest event; 0 if the stream does not exist."""
    snapshot: Snapshot | None
    """The snapshot of the stream, if this version of the fold made it."""
    erased: frozenset[UUID]
    """The erased persons of the organization."""


class EventLog(LogReader):
    """The append-only log in PostgreSQL, read and written through one engine."""

    async def identity(self) -> LogIdentity:
        """Return the identity of this log. Raises `NoLogIdentityError`."""
        async with self._reading.connect() as connection:
            row = (await connection.execute(IDENTITY)).one_or_none()
        if row is None:
            raise NoLogIdentityError
        return LogIdentity(row.log_id, row.fingerprint_key)

    async def log_id(self) -> UUID:
        """Return the id of this log, also to a role that may not read the key beside it.

        Raises `NoLogIdentityError`.
        """
        async with self._engine.connect() as connection:
            log_id: UUID | None = (await connection.execute(LOG_ID)).scalar_one_or_none()
        if log_id is None:
            raise NoLogIdentityError
        return log_id

    async def clock(self) -> datetime:
        """Return the time of the database's clock."""
        async with self._reading.connect() as connection:
            now: datetime = (await connection.execute(CLOCK)).scalar_one()
        return now

    async def clock_and_run(self, sync_id: UUID) -> "RunRecord":
        """Return the database's clock, and the streams that hold events of a run."""
        ids = {"started_id": message_id(sync_id, 0), "outcome_id": message_id(sync_id, OUTCOME)}
        async with self._reading.connect() as connection:
            row = (await connection.execute(CLOCK_AND_RUN, ids)).one()
        return RunRecord(row.now, row.begun_in, row.ended_in)

    async def opening(
        self, sync_id: UUID, stream_id: UUID, organization_id: UUID, fold_version: str
    ) -> Opening:
        """Return all that a run needs to know of the log before it starts."""
        wanted = {
            "started_id": message_id(sync_id, 0),
            "outcome_id": message_id(sync_id, OUTCOME),
            "stream_id": stream_id,
            "organization_id": organization_id,
            "fold_version": fold_version,
        }
        row = (await read_rows(self._reading, OPENING, wanted)).one()
        now, begun_in, ended_in, version, *of_snapshot, erased = row
        snapshot = None if of_snapshot[-1] is None else Snapshot(*of_snapshot)
        return Opening(RunRecord(now, begun_in, ended_in), version, snapshot, frozenset(erased))

    async def append(self, commit: Commit) -> Appended:
        """Append atomically, with the guarantees and errors of `eventstore.append.append`.

        await log.append(Commit(stream_id, version, [NewEvent(message_id, event)]))
        """
        return await append.append(self._engine, commit)

    async def snapshot(self, stream_id: UUID, fold_version: str) -> Snapshot | None:
        """Return the snapshot of a stream, if this version of the fold made it."""
        async with self._reading.connect() as connection:
            return await snapshots.read_snapshot(connection, stream_id, fold_version)

    async def source(self, digest: str) -> bytes | None:
        """Return the document with this SHA-256 (in hex), or None if it is not stored any more."""
        async with self._reading.connect() as connection:
            return await sources.read_source(connection, digest)

    async def prune_sources(self, age: timedelta) -> int:
        """Delete the documents that no run has used for this long; return their number."""
        total = 0
        while True:
            async with self._engine.begin() as connection:
                pruned = await sources.prune_sources(connection, age)
            if pruned == 0:
                return total
            total += pruned

    async def erased_speakers(self, organization_id: UUID) -> frozenset[UUID]:
        """Return the speakers of an organization who asked to be forgotten."""
        async with self._reading.connect() as connection:
            return await erasure.erased_subjects(connection, organization_id)

    async def unconfirmed_restore(self) -> str | None:
        """Return why the log must not be served after a restore; None if it may be."""
        return await restored.unconfirmed_restore(self._engine)

    async def unpublished(self) -> list[Unpublished]:
        """Return the events that the broker refused because of their size, by position."""
        async with self._reading.connect() as connection:
            return await checkpoints.read_unpublished(connection)
