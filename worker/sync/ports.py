"""Ports of the write side: what handling a request needs from the log and from Sessionize."""

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

from eventstore.log import Opening, RunRecord
from eventstore.model import Appended, Commit, Recorded, Snapshot
from worker.source.sessionize import Fetched


class StateLog(Protocol):
    """Reads what the state of a SpreaView event is folded from."""

    async def snapshot(self, stream_id: UUID, fold_version: str) -> Snapshot | None:
        """Return the newest snapshot of a stream made by this fold, if there is one."""

    def read_stream(self, stream_id: UUID, *, after: int = 0) -> AsyncIterator[Recorded]:
        """Yield the events of a stream after a version, in order."""


class SyncLog(StateLog, Protocol):
    """The log as the handler uses it; `EventLog` has the guarantees and errors."""

    async def opening(
        self, sync_id: UUID, stream_id: UUID, organization_id: UUID, fold_version: str
    ) -> Opening:
        """Return all that a run needs to know of the log before it starts."""

    async def clock_and_run(self, sync_id: UUID) -> RunRecord:
        """Return the database's clock, and the streams that hold events of a run."""

    async def stream_version(self, stream_id: UUID) -> int:
        """Return the version of a stream's newest event; 0 for an unknown stream."""

    async def append(self, commit: Commit) -> Appended:
        """Append a commit atomically."""


class ScheduleSource(Protocol):
    """Fetches the document behind an API ID."""

    def begin(self, api_id: str, received: float) -> None:
        """Begin to fetch what `fetch` will soon be asked for, with the same arguments."""

    async def fetch(self, api_id: str, received: float) -> Fetched:
        """Return a document whose fetch began no earlier than `received` (monotonic clock).

        Raises:
            SyncFailure: with a code for the answer of Sessionize.
        """
