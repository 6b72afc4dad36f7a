"""Verifying the read models, row by row, against the projection of the events."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.as_of.read_models import INSTANTS, ReadModels
from audit.verify import statements
from audit.verify.report import FindingKind, VerificationReport
from contracts.error_text import describe_error
from contracts.events import CUT_TYPES
from eventstore.model import Recorded
from projections.changes import Row, project
from projections.tables import COLUMNS

_KEYS = {
    "sync_runs": ("sync_id",),
    "rooms": ("room_id",),
    "event_speakers": ("speaker_id",),
    "sessions": ("session_id",),
    "session_speakers": ("session_id", "speaker_id"),
    "skipped_sessions": ("sessionize_id",),
    "stream_progress": ("spreaview_event_id",),
}


class RowCheck:
    """Compares the live read models of one stream with the projection of its events."""

    def __init__(self, stream_id: UUID, version: int, report: VerificationReport) -> None:
        self._stream_id = stream_id
        self._version = version
        self._report = report
        self._models = ReadModels()
        self._pending: list[Recorded] = []
        self._trouble: str | None = None

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, report: VerificationReport
    ) -> "RowCheck":
        """Read the applied version: the check ends there."""
        found = await connection.execute(statements.PROGRESS, {"stream_id": stream_id})
        return cls(stream_id, found.scalar_one_or_none() or 0, report)

    def take(self, recorded: Recorded) -> None:
        """Project the next event, unless it is beyond the applied version."""
        if recorded.version > self._version or self._trouble:
            return
        self._pending.append(recorded)
        if recorded.type in CUT_TYPES:
            try:
                self._models.apply(project(self._pending))
            except Exception as error:  # a tampered event must not end the verification
                self._trouble = (
                    f"version {recorded.version} cannot be projected: {describe_error(error)}"[:300]
                )
            self._pending = []

    async def end(self, connection: AsyncConnection) -> None:
        """Compare with the tables, after the last event."""
        if self._trouble:
            self._report.unchecked[f"read models of a stream: {self._trouble}"] += 1
            return
        if self._version == 0:
            self._report.unchecked["read models of a stream of which nothing is applied"] += 1
        for view, expected in self._models.views().items():
            if self._version == 0 and view == "stream_progress":
                continue  # a row with version 0 is allowed
            found = await connection.execute(statements.VIEW_ROWS[view], {"s": self._stream_id})
            self._compare(view, expected, [_decoded(view, row) for row in found.scalars()])

    def _compare(self, view: str, expected: list[Row], found: list[Row]) -> None:
        projected = {_key(view, row): row for row in expected}
        stored = {_key(view, row): row for row in found}
        for key in projected.keys() | stored.keys():
            new, old = projected.get(key), stored.get(key)
            if new is None or old is None:
                self._add(view, key, "is missing" if old is None else "no event makes it")
                continue
            for name in COLUMNS[view]:
                if new[name] != old[name]:
                    what = f"{name} is {old[name]!r}, but the events make it {new[name]!r}"
                    self._add(view, key, what[:300])
        self._report.checked["rows of read models"] += len(stored)

    def _add(self, view: str, key: tuple[str, ...], what: str) -> None:
        row = f"{view} {' '.join(key)}: {what}"
        self._report.add(
            FindingKind.READ_MODEL, row, stream_id=self._stream_id, version=self._version
        )


def _key(view: str, row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _KEYS[view])


def _decoded(view: str, row: str) -> Row:
    """A row in the form of `ReadModels`: instants in UTC, in every time zone of the connection."""
    found: Row = msgspec.json.decode(row, type=dict[str, object])
    shown: Row = {}
    for name in COLUMNS[view]:
        value = found[name]
        if value is not None and name in INSTANTS:
            value = datetime.fromisoformat(str(value)).astimezone(UTC).isoformat()
        shown[name] = str(value) if isinstance(value, UUID) else value
    return shown


async def check_rows_without_events(
    connection: AsyncConnection, report: VerificationReport, only: UUID | None
) -> None:
    """Find rows of SpreaView events that the log does not know."""
    for row in await connection.execute(statements.ROWS_WITHOUT_EVENTS, {"only": only}):
        what = f"{row.view} has {row.rows} rows of it, but the log has no event of it"
        report.add(FindingKind.READ_MODEL, what, stream_id=row.spreaview_event_id)
