"""The log and Sessionize as the handler sees them, in memory: no database, no HTTP."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from contracts.canonical import canonical
from contracts.codec import take_apart
from contracts.events import ImportEvent, Source
from contracts.identity import OUTCOME, message_id
from eventstore.log import Opening, RunRecord
from eventstore.model import (
    AlreadyRecordedError,
    Appended,
    Commit,
    NewEvent,
    Recorded,
    Snapshot,
    StreamMovedError,
)
from worker.rules.sync_failures import SyncFailure
from worker.source.sessionize import Fetched

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
"""The clock of the fake log."""


@dataclass
class FakeLog:
    """Refuses an append for the same reasons, and in the same order, as `EventLog`."""

    streams: dict[UUID, list[Recorded]] = field(default_factory=lambda: defaultdict(list))
    commits: list[Commit] = field(default_factory=list)
    erased: set[UUID] = field(default_factory=set)
    snapshots: dict[UUID, Snapshot] = field(default_factory=dict)
    loads: int = 0
    others: list[Callable[[], object]] = field(default_factory=list)
    """Other writers: each acts once, just before the next append that reaches the log."""

    def events(self, stream_id: UUID) -> list[ImportEvent]:
        return [recorded.event for recorded in self.streams[stream_id]]

    def add(self, commit: Commit) -> Appended:
        """Append without letting other writers act first."""
        if commit.inbox is not None and commit.inbox in {c.inbox for c in self.commits}:
            raise AlreadyRecordedError("inbox")
        stream = self.streams[commit.stream_id]
        if len(stream) != commit.expected_version:
            raise StreamMovedError(commit.stream_id, commit.expected_version)
        known = {r.message_id for stream in self.streams.values() for r in stream}
        if known & {new.message_id for new in commit.events}:
            raise AlreadyRecordedError("message id")
        stream += [
            _recorded(commit, new, version, len(known) + n)
            for n, (version, new) in enumerate(
                enumerate(commit.events, start=commit.expected_version + 1), start=1
            )
        ]
        if commit.snapshot is not None:
            self.snapshots[commit.stream_id] = commit.snapshot
        self.commits.append(commit)
        return Appended(len(stream), len(known) + len(commit.events))

    async def append(self, commit: Commit) -> Appended:
        if self.others:
            self.others.pop(0)()
        return self.add(commit)

    async def clock_and_run(self, sync_id: UUID) -> RunRecord:
        streams = {r.message_id: id_ for id_, rows in self.streams.items() for r in rows}
        started, ended = message_id(sync_id, 0), message_id(sync_id, OUTCOME)
        return RunRecord(NOW, streams.get(started), streams.get(ended))

    async def stream_version(self, stream_id: UUID) -> int:
        return len(self.streams[stream_id])

    async def opening(
        self, sync_id: UUID, stream_id: UUID, organization_id: UUID, fold_version: str
    ) -> Opening:
        del organization_id
        return Opening(
            await self.clock_and_run(sync_id),
            len(self.streams[stream_id]),
            await self.snapshot(stream_id, fold_version),
            frozenset(self.erased),
        )

    async def snapshot(self, stream_id: UUID, fold_version: str) -> Snapshot | None:
        self.loads += 1
        found = self.snapshots.get(stream_id)
        return found if found and found.fold_version == fold_version else None

    async def read_stream(self, stream_id: UUID, *, after: int = 0) -> AsyncIterator[Recorded]:
        for recorded in self.streams[stream_id][after:]:
            yield recorded


def _recorded(commit: Commit, new: NewEvent, version: int, position: int) -> Recorded:
    plain = take_apart(new.event)
    return Recorded(
        position=position,
        stream_id=commit.stream_id,
        version=version,
        message_id=new.message_id,
        type=plain.type,
        schema_version=plain.schema_version,
        stored_data=canonical(plain.data).decode(),
        stored_metadata=canonical(dict(commit.metadata)).decode(),
        recorded_at=NOW,
        hash=bytes(32),
        personal=plain.personal.body.decode() if plain.personal else None,
    )


@dataclass
class FakeSessionize:
    """Answers with `body`, or fails with `failure`.

    `begun` and `received` list since when a document was allowed to be fetched, by begin and fetch.
    """

    body: bytes = b""
    failure: SyncFailure | None = None
    begun: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)

    def begin(self, api_id: str, received: float) -> None:
        del api_id
        self.begun.append(received)

    async def fetch(self, api_id: str, received: float) -> Fetched:
        del api_id
        self.received.append(received)
        if self.failure:
            raise self.failure
        digest = sha256(self.body).hexdigest()
        source = Source(digest=digest, size_bytes=len(self.body), fetched_at=NOW, fetch_ms=7)
        return Fetched(self.body, source)
