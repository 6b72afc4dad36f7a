"""The read models of one SpreaView event at any moment, in memory.

`projections.changes` projects the events, as it does for the tables; this module applies the
changes to dicts instead. The live read models are neither read nor changed. Memory holds the rows
that the event has at that moment.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from audit.past.moments import Moment, outcomes
from contracts.codec import PERSONAL_FIELDS, PERSONAL_KEY
from contracts.instants import column_in_utc
from eventstore.log import EventLog
from eventstore.model import Recorded
from projections.changes import Changes, Key, Row, TableChanges, project
from projections.tables import COLUMNS

_PERSONAL = PERSONAL_FIELDS["SpeakerImported"]
_SET_BY_A_START = frozenset(
    {
        *("sync_id", "spreaview_event_id", "organization_id", "status", "requested_at"),
        *PERSONAL_FIELDS["SyncStarted"],
        *("started_at", "window_starts_on", "window_ends_on", "time_zone"),
        *("api_id_masked", "position"),
    }
)
_SET_BY_AN_END = frozenset(
    {
        *("status", "finished_at", "counts", "warnings", "withheld", "failure_code"),
        *("failure_message", "failure_remedy", "retryable", "position"),
    }
)
_NEVER_CHANGE = frozenset({"organization_id", "sessionize_id", "session_code"})
"""Columns that keep the value of the row's first write."""


class ReadModels:
    """The rows of one SpreaView event. Ids are text, instants ISO 8601 in UTC."""

    def __init__(self) -> None:
        self.runs: dict[str, Row] = {}
        self.rooms: dict[str, Row] = {}
        """By room id."""
        self.speakers: dict[str, Row] = {}
        """By speaker id."""
        self.sessions: dict[str, Row] = {}
        """By session id."""
        self.lineup: dict[str, list[Row]] = {}
        """Rows of `session_speakers`, by session id."""
        self.skips: dict[str, Row] = {}
        """By Sessionize id."""
        self.progress: Row | None = None

    def apply(self, changes: Changes) -> None:
        """Apply changes as `projections.write` does, in the same order."""
        for row in changes.started_runs.values():
            started = {k: v for k, v in row.items() if k in _SET_BY_A_START}
            self.runs.setdefault(str(row["sync_id"]), _columns("sync_runs", started))
        for row in changes.ended_runs.values():
            shown = _columns("sync_runs", row)
            if (run := self.runs.get(str(row["sync_id"]))) is None:
                self.runs[str(row["sync_id"])] = shown
            else:
                run.update({name: shown[name] for name in _SET_BY_AN_END})
        _change_table("rooms", self.rooms, "room_id", changes.rooms)
        for forgotten in changes.forgotten.values():
            if (speaker := self.speakers.get(str(forgotten["speaker_id"]))) is not None:
                speaker.update(dict.fromkeys(_PERSONAL))
        _change_table("event_speakers", self.speakers, "speaker_id", changes.speakers)
        _change_table("sessions", self.sessions, "session_id", changes.sessions)
        for key, links in changes.session_speakers.items():
            self.lineup[str(key)] = [_columns("session_speakers", link) for link in links]
            session = self.sessions[str(key)]
            session["is_reviewable"] = not session["is_service_session"] and bool(links)
        for (_, sessionize_id), skip in changes.skips.items():
            if skip is None:
                self.skips.pop(str(sessionize_id), None)
            else:
                self.skips[str(sessionize_id)] = _columns("skipped_sessions", skip)
        for row in changes.progress.values():
            self.progress = _columns("stream_progress", row)

    @property
    def time_zone(self) -> str | None:
        """The zone of the last completed run; of the newest run if none has completed."""
        runs = [run for run in self.runs.values() if run["time_zone"]]
        newest = max(runs, key=lambda r: (r["status"] == "completed", _position(r)), default=None)
        return None if newest is None else str(newest["time_zone"])

    def to_json(self) -> dict[str, object]:
        """All rows by public view, as JSON values."""
        views: dict[str, object] = msgspec.to_builtins(self.views())
        return views

    def views(self) -> dict[str, list[Row]]:
        """All rows by public view, in a stable order, with the public columns."""
        lineup = [link for key in sorted(self.lineup) for link in self.lineup[key]]
        return {
            "sync_runs": sorted(self.runs.values(), key=_position),
            "rooms": sorted(self.rooms.values(), key=_sessionize_id),
            "event_speakers": sorted(self.speakers.values(), key=_sessionize_id),
            "sessions": sorted(self.sessions.values(), key=_sessionize_id),
            "session_speakers": lineup,
            "skipped_sessions": sorted(self.skips.values(), key=_sessionize_id),
            "stream_progress": [self.progress] if self.progress else [],
        }


async def read_models_at(log: EventLog, event_id: UUID, moment: Moment) -> ReadModels:
    """The rows that the public views showed, or would have shown, at a moment.

        models = await read_models_at(log, event_id, Moment(position=1234))

    Personal data that was erased later is null at every moment. A speaker has the status of that
    moment.

    Raises:
        NotInThePastError: the log does not know the event, or has not reached the moment.
        contracts.codec.UnknownEventError: a newer version of this program wrote one of the events.
    """
    models = ReadModels()
    async for outcome in outcomes(log, event_id, moment):
        changes = project(outcome)
        _restore_status(changes, outcome)
        models.apply(changes)
    return models


def _restore_status(changes: Changes, outcome: Iterable[Recorded]) -> None:
    """Show speakers as imported who were erased after their import.

    The stored event still has the digest of their data. One that was imported without data has
    none.
    """
    for recorded in outcome:
        if recorded.type == "SpeakerImported" and recorded.personal is None:
            key = (recorded.data["spreaview_event_id"], recorded.data["speaker_id"])
            row = changes.speakers.rows[key]
            was_shown = PERSONAL_KEY in msgspec.json.decode(recorded.stored_data)
            if was_shown and row["position"] == recorded.position:  # no later event changed it
                row["status"] = "imported"


def _change_table(
    view: str, table: dict[str, Row], id_column: str, changes: TableChanges[Key]
) -> None:
    for row in changes.rows.values():
        key = str(row[id_column])
        kept = {k: v for k, v in table.get(key, {}).items() if k in _NEVER_CHANGE}
        table[key] = _columns(view, row) | kept
    for mark in changes.marks.values():
        if (marked := table.get(str(mark[id_column]))) is not None:
            marked.update({name: mark[name] for name in ("status", "position")})


def _columns(view: str, row: Row) -> Row:
    return {name: _shown(name, row.get(name)) for name in COLUMNS[view]}


def _shown(name: str, value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return column_in_utc(name, value)


def _position(row: Row) -> int:
    return int(str(row["position"]))


def _sessionize_id(row: Row) -> str:
    return str(row["sessionize_id"])
