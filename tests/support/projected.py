"""Sample events in the form that the log returns, and their changes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import msgspec

from contracts import samples
from contracts.codec import JsonObject
from contracts.events import ImportEvent
from projections.changes import Changes, TableChanges, project

SAMPLES = {type(event).__name__: event for event in samples.EVENTS}
OTHER = UUID("00000000-0000-4000-8000-000000000007")
AT = datetime(2026, 5, 20, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    """An event in the form that the log returns."""

    type: str
    data: JsonObject
    stream_id: UUID
    version: int
    position: int
    recorded_at: datetime


def recorded(event: ImportEvent, version: int) -> Recorded:
    data = cast("JsonObject", msgspec.json.decode(msgspec.json.encode(event)))
    return Recorded(
        type(event).__name__, data, event.spreaview_event_id, version, 100 + version, AT
    )


def sample(name: str, **changes: object) -> ImportEvent:
    changed: ImportEvent = msgspec.structs.replace(SAMPLES[name], **changes)
    return changed


def projected(*events: ImportEvent) -> Changes:
    return project(recorded(event, version) for version, event in enumerate(events, start=1))


def the(table: TableChanges[object] | TableChanges[tuple[object, object]]) -> JsonObject:
    """Return the only row that is inserted or replaced."""
    assert not table.marks
    (row,) = table.rows.values()
    return row


def the_mark(table: TableChanges[object] | TableChanges[tuple[object, object]]) -> JsonObject:
    """Return the only row in which some columns change."""
    assert not table.rows
    (row,) = table.marks.values()
    return row
