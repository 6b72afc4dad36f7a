"""Turn events into changes to the rows of the read models. Pure.

A batch of any size changes each row once: the last event on a row wins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from contracts.codec import PERSONAL_FIELDS

Row: TypeAlias = dict[str, object]
Key = TypeVar("Key")


class Projected(Protocol):
    """The part of a recorded event that a projection needs."""

    @property
    def type(self) -> str:
        """The name of the event, such as `SessionImported`."""

    @property
    def data(self) -> Mapping[str, object]:
        """The event, upcast, with its personal fields."""

    @property
    def stream_id(self) -> UUID:
        """The id of the SpreaView event."""

    @property
    def version(self) -> int:
        """The number of the event within its stream."""

    @property
    def position(self) -> int:
        """The place of the event in the log."""

    @property
    def recorded_at(self) -> datetime:
        """When the event was appended."""


@dataclass(slots=True)
class TableChanges(Generic[Key]):
    """Changes to one table: whole rows, and rows in which only some columns change."""

    rows: dict[Key, Row] = field(default_factory=dict)
    marks: dict[Key, Row] = field(default_factory=dict)
    """Key columns and changed columns of rows that are in the database."""

    def put(self, key: Key, row: Row) -> None:
        """Insert or replace a row."""
        self.marks.pop(key, None)
        self.rows[key] = row

    def mark(self, key: Key, identity: Row, change: Row) -> None:
        """Change some columns of a row that exists, in this batch or in the database."""
        if key in self.rows:
            self.rows[key].update(change)
        else:
            self.marks.setdefault(key, dict(identity)).update(change)


@dataclass(slots=True)
class Changes:
    """All changes that a batch of events makes to one generation."""

    started_runs: dict[object, Row] = field(default_factory=dict)
    ended_runs: dict[object, Row] = field(default_factory=dict)
    rooms: TableChanges[object] = field(default_factory=TableChanges)
    speakers: TableChanges[tuple[object, object]] = field(default_factory=TableChanges)
    forgotten: dict[tuple[object, object], Row] = field(default_factory=dict)
    """Speakers whose personal fields are cleared before any other change is written."""
    sessions: TableChanges[object] = field(default_factory=TableChanges)
    session_speakers: dict[object, list[Row]] = field(default_factory=dict)
    """By session id: the rows of all its speakers."""
    skips: dict[tuple[object, object], Row | None] = field(default_factory=dict)
    """By SpreaView event and Sessionize id; None removes the row."""
    progress: dict[UUID, Row] = field(default_factory=dict)
    """By stream: the version and position after this batch."""


_ERASED_FIELDS = PERSONAL_FIELDS["SpeakerImported"]


def project(events: Iterable[Projected]) -> Changes:
    """Fold events, in log order, into one set of changes for `write`.

        await write(connection, project(events))

    Raises:
        KeyError: an event lacks a field that a read model needs.
        contracts.codec.UnknownEventError: a newer version of this program wrote an event.
    """
    changes = Changes()
    for event in events:
        _apply(changes, event)
        changes.progress[event.stream_id] = {
            "spreaview_event_id": event.stream_id,
            "version": event.version,
            "position": event.position,
        }
    return changes


def _apply(changes: Changes, event: Projected) -> None:
    data = event.data
    match event.type:
        case "SyncStarted":
            changes.started_runs[data["sync_id"]] = _started_run(event)
        case "SyncCompleted" | "SyncFailed":
            changes.ended_runs[data["sync_id"]] = _ended_run(event)
        case "RoomImported":
            changes.rooms.put(data["room_id"], _row(event, status="imported"))
        case "RoomWithdrawn":
            _mark(changes.rooms, data["room_id"], event, "room_id", status="withdrawn")
        case "SpeakerImported":
            key = (data["spreaview_event_id"], data["speaker_id"])
            status = "erased" if is_erased(data) else "imported"
            changes.speakers.put(key, _row(event, status=status))
        case "SpeakerWithdrawn":
            key = (data["spreaview_event_id"], data["speaker_id"])
            _mark(changes.speakers, key, event, "speaker_id", status="withdrawn")
        case "SpeakerErased":
            key = (data["spreaview_event_id"], data["speaker_id"])
            _mark(changes.speakers, key, event, "speaker_id", status="erased")
            changes.forgotten[key] = {
                "spreaview_event_id": data["spreaview_event_id"],
                "speaker_id": data["speaker_id"],
            }
            if key in changes.speakers.rows:
                changes.speakers.rows[key].update(dict.fromkeys(_ERASED_FIELDS))
        case "SessionImported":
            _session_imported(changes, event)
        case "SessionSkippedOutOfWindow" | "SessionSkippedUnscheduled":
            _session_skipped(changes, event)
        case "SessionWithdrawn":
            changes.skips[data["spreaview_event_id"], data["sessionize_id"]] = None
            if data["was_imported"]:
                _mark(changes.sessions, data["session_id"], event, "session_id", status="withdrawn")
        case _:  # RemovalsWithheld: sync_runs shows it by SyncCompleted
            pass


def _row(event: Projected, **columns: object) -> Row:
    return {**event.data, **columns, "position": event.position}


def _mark(
    table: TableChanges[Key], key: Key, event: Projected, id_column: str, *, status: str
) -> None:
    identity: Row = {
        "spreaview_event_id": event.data["spreaview_event_id"],
        id_column: event.data[id_column],
    }
    table.mark(key, identity, {"status": status, "position": event.position})


def is_erased(speaker: Mapping[str, object]) -> bool:
    """Return whether a speaker has no personal field at all: an erasure has removed them."""
    return all(speaker[name] is None for name in _ERASED_FIELDS)


def _session_imported(changes: Changes, event: Projected) -> None:
    data = event.data
    changes.sessions.put(data["session_id"], _row(event, status="scheduled"))
    changes.skips[data["spreaview_event_id"], data["sessionize_id"]] = None
    speaker_ids = data["speaker_ids"]
    assert isinstance(speaker_ids, list)  # noqa: S101 (the contract)
    changes.session_speakers[data["session_id"]] = [
        {
            "spreaview_event_id": data["spreaview_event_id"],
            "session_id": data["session_id"],
            "speaker_id": speaker_id,
            "ordinal": ordinal,
        }
        for ordinal, speaker_id in enumerate(speaker_ids, start=1)
    ]


def _session_skipped(changes: Changes, event: Projected) -> None:
    data = event.data
    changes.skips[data["spreaview_event_id"], data["sessionize_id"]] = _row(
        event, reason=data.get("reason", "unscheduled")
    )
    if data["was_imported"]:
        _mark(changes.sessions, data["session_id"], event, "session_id", status="withdrawn")


def _started_run(event: Projected) -> Row:
    window = event.data["window"]
    assert isinstance(window, dict)  # noqa: S101 (the contract)
    return _row(
        event,
        status="running",
        started_at=event.recorded_at,
        window_starts_on=window["starts_on"],
        window_ends_on=window["ends_on"],
        time_zone=window["time_zone"],
    )


def _ended_run(event: Projected) -> Row:
    data = event.data
    if event.type == "SyncCompleted":
        return _row(event, status="completed", finished_at=event.recorded_at)
    return _row(
        event,
        status="superseded" if data["code"] == "superseded" else "failed",
        finished_at=event.recorded_at,
        failure_code=data["code"],
        failure_message=data["message"],
        failure_remedy=data["remedy"],
    )
