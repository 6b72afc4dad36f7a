"""Telling the life of sessions, rooms and speakers, event by event and field by field. Pure."""

from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

import msgspec

from audit.past.entities import EntityQuery, Fields, TimelineStep, entity_id, kind_of
from contracts.events import (
    RemovalsWithheld,
    Room,
    RoomImported,
    RoomWithdrawn,
    Session,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SessionWithdrawn,
    Speaker,
    SpeakerErased,
    SpeakerImported,
    SpeakerWithdrawn,
    SyncCompleted,
    SyncWarning,
)
from eventstore.model import Recorded

Entity = dict[str, object]

_SHOWN: Mapping[str, tuple[str, ...]] = {
    "session": tuple(n for n in Session.__struct_fields__ if n not in ("session_id",)),
    "room": tuple(n for n in Room.__struct_fields__ if n not in ("room_id",)),
    "speaker": tuple(n for n in Speaker.__struct_fields__ if n not in ("speaker_id",)),
}
_OF_A_SKIP = ("title", "starts_at", "ends_at", "missing", "window_starts_at", "window_ends_at")


class TimelineBuilder:
    """Tells the events of one stream, in order. Holds the entities as they were last."""

    def __init__(self, event_id: UUID, wanted: EntityQuery) -> None:
        self._event_id = event_id
        self._wanted = wanted
        self._last: dict[tuple[str, UUID], Entity] = {}
        self._withheld: dict[UUID, str] = {}
        self._warnings: frozenset[SyncWarning] = frozenset()
        """Of the last completed run: what goes on is told once."""
        self.names: dict[str, str] = {}
        """Names of rooms and speakers by our ids, as they were last."""

    def tell(self, recorded: Recorded) -> Iterator[TimelineStep]:
        """What an event means for the wanted entities."""
        event = recorded.event
        match event:
            case SessionImported():
                yield from self._imported(recorded, event, "session", event.session_id, event.title)
            case SpeakerImported():
                self.names[str(event.speaker_id)] = name = event.full_name or ""
                yield from self._imported(recorded, event, "speaker", event.speaker_id, name)
            case RoomImported():
                self.names[str(event.room_id)] = event.name
                yield from self._imported(recorded, event, "room", event.room_id, event.name)
            case SessionSkippedOutOfWindow() | SessionSkippedUnscheduled():
                yield from self._skipped(recorded, event)
            case SessionWithdrawn():
                yield from self._gone(
                    recorded, "session", event.session_id, "withdrawn", event.reason
                )
            case SpeakerWithdrawn():
                yield from self._gone(
                    recorded, "speaker", event.speaker_id, "withdrawn", event.reason
                )
            case RoomWithdrawn():
                yield from self._gone(recorded, "room", event.room_id, "withdrawn", event.reason)
            case SpeakerErased():
                yield from self._gone(recorded, "speaker", event.speaker_id, "erased", None)
            case RemovalsWithheld():
                yield from self._withhold(recorded, event)
            case SyncCompleted():
                yield from self._ended(recorded, event)
            case _:
                pass

    def _imported(
        self,
        recorded: Recorded,
        event: SessionImported | SpeakerImported | RoomImported,
        kind: str,
        id_: UUID,
        name: str,
    ) -> Iterator[TimelineStep]:
        if not self._wanted.means(kind, id_, event.sessionize_id):
            return
        data = msgspec.structs.asdict(event)
        if kind == "session":
            self._withheld.pop(id_, None)
        last = self._last.get((kind, id_))
        changed: Collection[str] = event.changed_fields
        if event.change == "added":
            changed = _SHOWN[kind]
        elif (
            last is not None and "missing" in last
        ):  # it was skipped: told is what that had changed
            changed = [f for f in _SHOWN[kind] if f in changed or f in _OF_A_SKIP]
        fields = {f: ((last or {}).get(f), data[f]) for f in changed}
        self._last[kind, id_] = {f: data[f] for f in _SHOWN[kind]}
        yield self._step(
            recorded, kind, id_, event.sessionize_id, name, event.change, fields=_differing(fields)
        )

    def _skipped(
        self, recorded: Recorded, event: SessionSkippedOutOfWindow | SessionSkippedUnscheduled
    ) -> Iterator[TimelineStep]:
        if not self._wanted.means("session", event.session_id, event.sessionize_id):
            return
        self._withheld.pop(event.session_id, None)
        last = self._last.setdefault(("session", event.session_id), {})
        facts = {f: getattr(event, f, None) for f in _OF_A_SKIP}
        fields = _differing({f: (last.get(f), value) for f, value in facts.items()})
        last |= facts | {"sessionize_id": event.sessionize_id}
        reason = (
            event.reason
            if isinstance(event, SessionSkippedOutOfWindow)
            else f"unscheduled, missing: {', '.join(event.missing)}"
        )
        yield self._step(
            recorded,
            "session",
            event.session_id,
            event.sessionize_id,
            event.title,
            "skipped",
            reason,
            fields,
        )

    def _gone(
        self, recorded: Recorded, kind: str, id_: UUID, change: str, reason: str | None
    ) -> Iterator[TimelineStep]:
        last = self._last.get((kind, id_), {})
        data = recorded.data
        sessionize_id = str(data.get("sessionize_id") or last.get("sessionize_id") or "")
        if not self._wanted.means(kind, id_, sessionize_id):
            return
        if change == "erased":
            self.names.pop(str(id_), None)
        if kind == "session":
            self._withheld.pop(id_, None)
        name = data.get("title") or data.get("name") or self.names.get(str(id_)) or ""
        yield self._step(recorded, kind, id_, sessionize_id, str(name), change, reason)

    def _withhold(self, recorded: Recorded, event: RemovalsWithheld) -> Iterator[TimelineStep]:
        for held in event.sessions:
            new = held.session_id not in self._withheld
            self._withheld[held.session_id] = held.title
            if new and self._wanted.means("session", held.session_id, held.sessionize_id):
                yield self._step(
                    recorded,
                    "session",
                    held.session_id,
                    held.sessionize_id,
                    held.title,
                    "withheld",
                )

    def _ended(self, recorded: Recorded, event: SyncCompleted) -> Iterator[TimelineStep]:
        held = {h.session_id: h for h in event.withheld}
        for id_ in [id_ for id_ in self._withheld if id_ not in held]:
            key = str(self._last.get(("session", id_), {}).get("sessionize_id", ""))
            if self._wanted.means("session", id_, key):
                yield self._step(recorded, "session", id_, key, self._withheld[id_], "released")
        self._withheld = {id_: h.title for id_, h in held.items()}
        before, self._warnings = self._warnings, frozenset(event.warnings)
        for warning in (w for w in event.warnings if w not in before):
            kind = kind_of(warning)
            for key in warning.sessionize_ids:
                id_ = entity_id(kind, self._event_id, event.organization_id, key)
                yield from self._warned(recorded, kind, id_, key, warning)

    def _warned(
        self, recorded: Recorded, kind: str, id_: UUID, key: str, warning: SyncWarning
    ) -> Iterator[TimelineStep]:
        if self._wanted.kind is None or warning.code == "removals_withheld":
            return  # runs count their warnings; the withheld are told as such
        if self._wanted.means(kind, id_, key):
            last = self._last.get((kind, id_), {})
            name = str(last.get("title") or self.names.get(str(id_)) or "")
            reason = f"{warning.code}: {warning.message}"
            yield self._step(recorded, kind, id_, key, name, "warned", reason)

    def _step(
        self,
        recorded: Recorded,
        kind: str,
        id_: UUID,
        sessionize_id: str,
        name: str,
        change: str,
        reason: str | None = None,
        fields: Fields | None = None,
    ) -> TimelineStep:
        return TimelineStep(
            position=recorded.position,
            version=recorded.version,
            recorded_at=recorded.recorded_at,
            sync_id=recorded.event.sync_id,
            type=recorded.type,
            kind=kind,
            id=id_,
            sessionize_id=sessionize_id,
            name=name,
            change=change,
            reason=reason,
            fields=fields or {},
        )


def _differing(fields: Fields) -> Fields:
    return {name: (old, new) for name, (old, new) in fields.items() if old != new}
