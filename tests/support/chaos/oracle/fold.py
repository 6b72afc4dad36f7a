"""The read models of one event, folded from its log by a second implementation of the rules."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.chaos.oracle.log import Event
from tests.support.chaos.oracle.names import CUTS
from tests.support.chaos.oracle.views import KEYS, Snapshot, rows_of

_RUN = (
    *("sync_id", "organization_id", "status", "requested_at", "requested_by", "started_at"),
    *("finished_at", "window_starts_on", "window_ends_on", "time_zone", "api_id_masked"),
    *("counts", "warnings", "withheld", "failure_code", "failure_message", "failure_remedy"),
    *("retryable", "position"),
)
_ROOM = ("room_id", "sessionize_id", "name", "sort", "status", "position")
_SPEAKER = (
    *("organization_id", "speaker_id", "sessionize_id", "first_name", "last_name", "full_name"),
    *("tag_line", "bio", "profile_picture", "links", "is_top_speaker", "status", "position"),
)
_SESSION = (
    *("session_id", "session_code", "sessionize_id", "title", "abstract", "room_id", "starts_at"),
    *("ends_at", "is_service_session", "is_plenum_session", "live_url", "recording_url"),
    *("status", "position", "topics", "is_reviewable"),
)
_SKIP = (
    *("sessionize_id", "title", "starts_at", "ends_at", "reason", "missing", "window_starts_at"),
    *("window_ends_at", "sync_id", "position"),
)


class Fold:
    """The state of one SpreaView event after some of its events."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, dict[str, Any]]] = {view: {} for view in KEYS}
        self.held: set[str] = set()
        """Sessionize ids of the sessions whose removal is held back."""
        self._held_by: str | None = None

    def rows(self, view: str) -> list[dict[str, Any]]:
        """Return the current rows of a view."""
        return list(self._tables[view].values())

    def apply(self, event: Event) -> None:
        """Apply the next event."""
        facts = event.data | {"position": event.position}
        match event.type:
            case "SyncStarted":
                self._start(facts, event)
            case "SyncCompleted" | "SyncFailed":
                self._end(facts, event)
            case "RoomImported":
                self._put("rooms", facts | {"status": "imported"}, _ROOM, "room_id")
            case "RoomWithdrawn":
                self._withdraw("rooms", facts, "room_id")
            case "SpeakerImported":
                row = facts | {"status": "imported"}
                self._put("event_speakers", row, _SPEAKER, "speaker_id")
            case "SpeakerWithdrawn":
                self._withdraw("event_speakers", facts, "speaker_id")
            case "SessionImported":
                self._import_session(facts)
            case "SessionSkippedOutOfWindow":
                self._skip(facts, facts["reason"])
            case "SessionSkippedUnscheduled":
                self._skip(facts, "unscheduled")
            case "SessionWithdrawn":
                self._tables["skipped_sessions"].pop(facts["sessionize_id"], None)
                if facts["was_imported"]:
                    self._withdraw("sessions", facts, "session_id")
            case "RemovalsWithheld":
                if facts["sync_id"] != self._held_by:
                    self.held, self._held_by = set(), facts["sync_id"]
                self.held |= {session["sessionize_id"] for session in facts["sessions"]}
            case _:
                raise ValueError(f"the oracle does not know {event.type}")

    def _put(
        self, view: str, facts: dict[str, Any], columns: Sequence[str], key: str
    ) -> dict[str, Any]:
        row = {name: facts.get(name) for name in columns}
        self._tables[view][facts[key]] = row
        return row

    def _withdraw(self, view: str, facts: dict[str, Any], key: str) -> None:
        self._tables[view][facts[key]].update(status="withdrawn", position=facts["position"])

    def _start(self, facts: dict[str, Any], event: Event) -> None:
        window = facts["window"]
        self._put(
            "sync_runs",
            facts
            | {
                "status": "running",
                "started_at": event.recorded_at.isoformat(),
                "window_starts_on": window["starts_on"],
                "window_ends_on": window["ends_on"],
                "time_zone": window["time_zone"],
            },
            _RUN,
            "sync_id",
        )

    def _end(self, facts: dict[str, Any], event: Event) -> None:
        runs = self._tables["sync_runs"]
        row = runs.setdefault(
            facts["sync_id"],
            dict.fromkeys(_RUN) | {name: facts[name] for name in ("sync_id", "organization_id")},
        )
        status = "completed"
        if event.type == "SyncFailed":
            status = "superseded" if facts["code"] == "superseded" else "failed"
        if status == "completed" and not facts["counts"]["sessions"]["withheld"]:
            self.held, self._held_by = set(), None
        row |= {
            "status": status,
            "finished_at": event.recorded_at.isoformat(),
            "counts": facts.get("counts"),
            "warnings": facts.get("warnings"),
            "withheld": facts.get("withheld"),
            "failure_code": facts.get("code"),
            "failure_message": facts.get("message"),
            "failure_remedy": facts.get("remedy"),
            "retryable": facts.get("retryable"),
            "position": facts["position"],
        }

    def _import_session(self, facts: dict[str, Any]) -> None:
        session_id = facts["session_id"]
        reviewable = bool(facts["speaker_ids"]) and not facts["is_service_session"]
        shown = facts | {"status": "scheduled", "is_reviewable": reviewable}
        self._put("sessions", shown, _SESSION, "session_id")
        self._tables["skipped_sessions"].pop(facts["sessionize_id"], None)
        links = self._tables["session_speakers"]
        for key in [key for key, row in links.items() if row["session_id"] == session_id]:
            del links[key]
        for ordinal, speaker_id in enumerate(facts["speaker_ids"], start=1):
            links[f"{session_id}/{speaker_id}"] = {
                "session_id": session_id,
                "speaker_id": speaker_id,
                "ordinal": ordinal,
            }

    def _skip(self, facts: dict[str, Any], reason: str) -> None:
        row = facts | {"reason": reason}
        self._put("skipped_sessions", row, _SKIP, "sessionize_id")
        if facts["was_imported"]:
            self._withdraw("sessions", facts, "session_id")


def snapshots(stream: Sequence[Event]) -> Iterator[Snapshot]:
    """Yield the states that the read models may show of an event, in order; first the empty one."""
    if not stream:
        return
    event_id = stream[0].stream_id
    fold = Fold()
    yield Snapshot(event_id, 0, 0, {view: {} for view in KEYS})
    for event in stream:
        fold.apply(event)
        if event.type in CUTS:
            views = {view: rows_of(view, copy.deepcopy(fold.rows(view))) for view in KEYS}
            yield Snapshot(event_id, event.version, event.position, views)
