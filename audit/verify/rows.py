"""Verifying the read models, row by row, against the projection of the events."""

from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.as_of.read_models import ReadModels
from audit.verify import statements
from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from contracts.error_text import describe_error
from contracts.events import CUT_TYPES
from contracts.instants import column_in_utc
from contracts.wording import counted
from eventstore.model import Recorded
from projections.changes import Row, project
from projections.tables import COLUMNS

PROGRESS = text("""
    SELECT version FROM spreaview.stream_progress WHERE spreaview_event_id = :stream_id
    ORDER BY version DESC NULLS LAST LIMIT 1
""")

_KEYS = {
    "sync_runs": ("sync_id",),
    "rooms": ("room_id",),
    "event_speakers": ("speaker_id",),
    "sessions": ("session_id",),
    "session_speakers": ("session_id", "speaker_id"),
    "skipped_sessions": ("sessionize_id",),
    "stream_progress": ("spreaview_event_id",),
}
"""The columns that identify a row of a SpreaView event. None of them is personal."""


class RowCheck:
    """Compares the public views of one stream with the projection of its events."""

    def __init__(
        self, stream_id: UUID, version: int, report: VerificationReport, views: frozenset[str]
    ) -> None:
        self._stream_id = stream_id
        self._version = version
        self._report = report
        self._views = views
        self._models = ReadModels()
        self._pending: list[Recorded] = []
        self._trouble: str | None = None

    @classmethod
    async def begin(
        cls,
        connection: AsyncConnection,
        stream_id: UUID,
        report: VerificationReport,
        views: frozenset[str],
    ) -> "RowCheck":
        """Read the applied version: the check ends there. `views` can be compared."""
        version = None
        if "stream_progress" in views:
            found = await connection.execute(PROGRESS, {"stream_id": stream_id})
            version = found.scalar_one_or_none()
        return cls(stream_id, version or 0, report, views)

    def take(self, recorded: Recorded) -> None:
        """Project the next event, unless it is beyond the applied version."""
        if recorded.version > self._version or self._trouble:
            return
        self._pending.append(recorded)
        if recorded.type in CUT_TYPES:
            try:
                self._models.apply(project(self._pending))
            except Exception as error:  # of any type: the event may be anything
                self.stop(recorded.version, f"cannot be projected: {describe_error(error)}"[:300])
            self._pending = []

    def stop(self, version: int, why: str) -> None:
        """Give up at an event that cannot be projected, unless it is beyond the applied version."""
        if version <= self._version and not self._trouble:
            self._trouble = f"version {version} {why}"

    async def end(self, connection: AsyncConnection) -> None:
        """Compare with the views, after the last event."""
        if "stream_progress" not in self._views:
            return
        if self._trouble:
            what = f"the read models of stream {self._stream_id}: {self._trouble}"
            self._report.unchecked[what] += 1
            return
        if self._version == 0:
            self._report.unchecked["read models of a stream of which nothing is applied"] += 1
        for view, expected in self._models.views().items():
            if view not in self._views or (self._version == 0 and view == "stream_progress"):
                continue  # a row with version 0 is allowed
            found = await connection.execute(statements.VIEW_ROWS[view], {"s": self._stream_id})
            self._compare(view, expected, [_decoded(view, row) for row in found.scalars()])

    def _compare(self, view: str, expected: list[Row], found: list[Row | None]) -> None:
        projected = {_key(view, row): row for row in expected}
        stored = {_key(view, row): row for row in found if row is not None}
        if unreadable := found.count(None):
            self._add(view, (), counted(unreadable, "unreadable row"))
        if (doubles := len(found) - unreadable - len(stored)) > 0:
            self._add(view, (), counted(doubles, "double row"))
        for key in sorted(projected.keys() | stored.keys()):
            new, old = projected.get(key), stored.get(key)
            if new is None or old is None:
                self._add(view, key, "is missing" if old is None else "no event makes it")
            elif differing := [name for name in COLUMNS[view] if new[name] != old[name]]:
                self._add(view, key, f"the events give other values of {', '.join(differing)}")
        self._report.checked["rows of read models"] += len(found)

    def _add(self, view: str, key: tuple[str, ...], what: str) -> None:
        row = f"{' '.join((view, *key))}: {what}"
        place = Place(self._stream_id, self._version)
        self._report.add(FindingKind.READ_MODEL, row, place)


def _key(view: str, row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _KEYS[view])


def _decoded(view: str, row: str) -> Row | None:
    """A row in the form of `ReadModels`, instants in UTC; None if it cannot be read."""
    try:
        found: Row = msgspec.json.decode(row, type=dict[str, object])
        return {name: _shown(name, found[name]) for name in COLUMNS[view]}
    except Exception:  # of any type, as for the data of an event
        return None


def _shown(name: str, value: object) -> object:
    try:
        return column_in_utc(name, value)
    except (ValueError, OverflowError):
        return value


async def check_rows_without_events(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    views: frozenset[str],
) -> None:
    """Find rows of SpreaView events that the log does not know."""
    for view in sorted(views & statements.ROWS_WITHOUT_EVENTS.keys()):
        found = await connection.execute(statements.ROWS_WITHOUT_EVENTS[view], {"only": only})
        for row in found:
            what = f"{view} has {row.rows} rows of it, but the log has no event of it"
            report.add(FindingKind.READ_MODEL, what, Place(row.spreaview_event_id))
