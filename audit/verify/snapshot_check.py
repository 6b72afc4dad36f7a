"""Verifying the snapshots against the fold of their events."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.documents import unpacked
from audit.verify.report import FindingKind, VerificationReport
from contracts.error_text import describe_error
from eventstore.model import Recorded, Snapshot
from worker.rules.state import State, fold
from worker.rules.state_encoding import encode_state
from worker.sync.fold_version import FOLD_VERSION


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
            self._skip("snapshots that other code has folded: it passes over them, too")

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, report: VerificationReport
    ) -> "SnapshotCheck":
        """Read the snapshot, before the first event of the stream."""
        found = await connection.execute(statements.SNAPSHOT, {"stream_id": stream_id})
        row = found.one_or_none()
        return cls(stream_id, Snapshot(*row) if row is not None else None, report)

    def take(self, recorded: Recorded) -> None:
        """Fold the next event, unless it is beyond the snapshot."""
        if self._snapshot is None or recorded.version > self._snapshot.version:
            return
        try:
            fold([recorded.event], self._state)
        except Exception as error:  # a tampered event must not end the verification
            what = f"version {recorded.version} cannot be folded: {describe_error(error)}"[:300]
            self._skip(f"the snapshot of a stream: {what}")

    def end(self) -> None:
        """Compare, after the last event."""
        if self._snapshot is None:
            return
        self._report.checked["snapshots"] += 1
        if self._state.version != self._snapshot.version:
            what = f"the events end at version {self._state.version}"
        else:
            try:
                is_equal = unpacked(self._snapshot.body) == unpacked(encode_state(self._state))
                what = "" if is_equal else "the fold of the events gives another state"
            except ValueError as error:
                what = f"it cannot be unpacked: {error}"
        if what:
            self._report.add(
                FindingKind.SNAPSHOT,
                f"the snapshot is wrong: {what}. Remedy: delete it; the next sync makes a new one",
                stream_id=self._stream_id,
                version=self._snapshot.version,
            )

    def _skip(self, why: str) -> None:
        self._report.unchecked[why] += 1
        self._snapshot = None
