"""Verifying the snapshots against the fold of their events."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from contracts.error_text import describe_error
from contracts.unpacking import UnpackingError, unpacked
from eventstore.model import Recorded, Snapshot
from worker.rules.state import State, fold
from worker.rules.state_encoding import encode_state
from worker.sync.fold_version import FOLD_VERSION

SNAPSHOT = text("""
    SELECT version, fold_version, body FROM event_store.snapshots
    WHERE stream_id = :stream_id ORDER BY version DESC NULLS LAST LIMIT 1
""")

_MOST_BYTES = 1 << 30
"""More than any state has; only a state that this process has just encoded is unpacked so far."""
_SLACK = 1 << 20
"""A stored state that unpacks to more than twice the right one and this is not unpacked."""


class SnapshotCheck:
    """Folds the events of one stream up to the version of its snapshot, if it has one."""

    def __init__(
        self, stream_id: UUID, snapshot: Snapshot | None, report: VerificationReport
    ) -> None:
        self._stream_id = stream_id
        self._snapshot = snapshot
        self._report = report
        self._state = State()
        if snapshot is not None and snapshot.fold_version != FOLD_VERSION:
            self._skip("snapshots that other code has folded: this code ignores them, too")

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, report: VerificationReport
    ) -> "SnapshotCheck":
        """Read the snapshot, before the first event of the stream."""
        found = await connection.execute(SNAPSHOT, {"stream_id": stream_id})
        row = found.one_or_none()
        return cls(stream_id, Snapshot(*row) if row is not None else None, report)

    def take(self, recorded: Recorded) -> None:
        """Fold the next event, unless it is beyond the snapshot."""
        if self._snapshot is None or recorded.version > (self._snapshot.version or 0):
            return
        try:
            fold([recorded.event], self._state)
        except Exception as error:  # of any type: the event may be anything
            self.stop(recorded.version, f"cannot be folded: {describe_error(error)}"[:300])

    def stop(self, version: int, why: str) -> None:
        """Give up at an event that cannot be folded, unless it is beyond the snapshot."""
        if self._snapshot is not None and version <= (self._snapshot.version or 0):
            self._skip(f"the snapshot of stream {self._stream_id}: version {version} {why}")

    def end(self) -> None:
        """Compare, after the last event."""
        if self._snapshot is None:
            return
        self._report.checked["snapshots"] += 1
        if (fault := self._fault(self._snapshot)) is not None:
            self._report.add(
                FindingKind.SNAPSHOT,
                f"the snapshot is wrong: {fault}",
                Place(self._stream_id, self._snapshot.version),
            )

    def _fault(self, snapshot: Snapshot) -> str | None:
        if self._state.version != snapshot.version:
            return f"the events end at version {self._state.version}"
        expected = unpacked(encode_state(self._state), _MOST_BYTES)
        try:
            found = unpacked(snapshot.body or b"", 2 * len(expected) + _SLACK)
        except UnpackingError as error:
            return f"it cannot be unpacked: {error}"
        return None if found == expected else "the fold of the events gives another state"

    def _skip(self, why: str) -> None:
        self._report.unchecked[why] += 1
        self._snapshot = None
