"""Building the timelines of sessions, rooms and speakers from the events of a stream. Pure."""

from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

import msgspec

from audit.past.entities import EntityQuery, entity_id, warned_kind
from audit.past.field_changes import FieldChanges
from audit.past.timeline_step import TimelineStep
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
from contracts.subjects import EventSubject, subject_of
from eventstore.model import Recorded
from projections.changes import is_erased

_ENTITY_FIELDS: Mapping[str, tuple[str, ...]] = {
    "session": tuple(n for n in Session.__struct_fields__ if n != "session_id"),
    "room": tuple(n for n in Room.__struct_fields__ if n != "room_id"),
    "speaker": tuple(n for n in Speaker.__struct_fields__ if n != "speaker_id"),
}
_SKIP_FIELDS = ("title", "starts_at", "ends_at", "missing", "window_starts_at", "window_ends_at")


class TimelineBuilder:
    """Turns the events of one stream, in order, into steps. Holds each entity as it was last."""

    def __init__(self, event_id: UUID, query: EntityQuery) -> None:
        self._event_id = event_id
        self._query = query
        self._last: dict[tuple[str, UUID], dict[str, object]] = {}
        self._withheld: dict[UUID, str] = {}
        """Titles of the sessions whose removal is withheld, by our id."""
        self._named: tuple[UUID, dict[UUID, str]] | None = None
        """The newest run with `RemovalsWithheld` events, and the sessions in all of them."""
        self._warnings: frozenset[SyncWarning] = frozenset()
        """The warnings of the last completed run: a repeated warning makes no new step."""
        self._speakers: set[UUID] = set()
        """Our ids of all speakers that were imported."""
        self.names: dict[str, str] = {}
        """The newest names of rooms and speakers, by our ids."""

    def steps(self, recorded: Recorded) -> Iterator[TimelineStep]:
        """The steps of the next event, for the entities that match the query."""
        event = recorded.event
        if isinstance(event, RemovalsWithheld):
            yield from self._withhold(recorded, event)
        elif isinstance(event, SyncCompleted):
            yield from self._complete(recorded, event)
        elif (subject := subject_of(event)) is not None:
            match event:
                case SessionImported() | SpeakerImported() | RoomImported():
                    yield from self._import(recorded, event, subject)
                case SessionSkippedOutOfWindow() | SessionSkippedUnscheduled():
                    yield from self._skip(recorded, event, subject)
                case SessionWithdrawn() | SpeakerWithdrawn() | RoomWithdrawn():
                    yield from self._remove(recorded, subject, "withdrawn", event.reason)
                case SpeakerErased():
                    if subject.id not in self._speakers:
                        subject = subject._replace(kind="requester")
                    yield from self._remove(recorded, subject, "erased", None)
                case _:
                    pass

    def _matches(self, subject: EventSubject) -> bool:
        return self._query.matches(subject.kind, subject.id, subject.sessionize_id)

    def _import(
        self,
        recorded: Recorded,
        event: SessionImported | SpeakerImported | RoomImported,
        subject: EventSubject,
    ) -> Iterator[TimelineStep]:
        kind, id_ = subject.kind, subject.id
        if kind == "speaker":
            self._speakers.add(id_)
        if kind != "session":
            self.names[str(id_)] = subject.name
        if not self._matches(subject):
            return
        if kind == "session":
            self._withheld.pop(id_, None)
        data = msgspec.structs.asdict(event)
        last = self._last.get((kind, id_))
        changed: Collection[str] = event.changed_fields
        if event.change == "added":
            changed = _ENTITY_FIELDS[kind]
        elif last is not None and "missing" in last:
            # The session was skipped before: include the fields that the skip had changed.
            changed = [f for f in _ENTITY_FIELDS[kind] if f in changed or f in _SKIP_FIELDS]
        fields = {f: ((last or {}).get(f), data[f]) for f in changed}
        self._last[kind, id_] = {f: data[f] for f in _ENTITY_FIELDS[kind]}
        reason = "erased" if kind == "speaker" and is_erased(data) else None
        yield _step(recorded, subject, event.change, reason, _differing(fields))

    def _skip(
        self,
        recorded: Recorded,
        event: SessionSkippedOutOfWindow | SessionSkippedUnscheduled,
        subject: EventSubject,
    ) -> Iterator[TimelineStep]:
        if not self._matches(subject):
            return
        self._withheld.pop(subject.id, None)
        last = self._last.setdefault(("session", subject.id), {})
        facts = {f: getattr(event, f, None) for f in _SKIP_FIELDS}
        fields = _differing({f: (last.get(f), value) for f, value in facts.items()})
        last |= facts | {"sessionize_id": event.sessionize_id}
        reason = (
            event.reason
            if isinstance(event, SessionSkippedOutOfWindow)
            else f"unscheduled, missing: {', '.join(event.missing)}"
        )
        yield _step(recorded, subject, "skipped", reason, fields)

    def _remove(
        self, recorded: Recorded, subject: EventSubject, change: str, reason: str | None
    ) -> Iterator[TimelineStep]:
        last = self._last.get((subject.kind, subject.id), {})
        subject = subject._replace(
            sessionize_id=subject.sessionize_id or str(last.get("sessionize_id") or "")
        )
        if not self._matches(subject):
            return
        if change == "erased":
            self.names.pop(str(subject.id), None)
        if subject.kind == "session":
            self._withheld.pop(subject.id, None)
        subject = subject._replace(name=subject.name or self.names.get(str(subject.id), ""))
        yield _step(recorded, subject, change, reason)

    def _withhold(self, recorded: Recorded, event: RemovalsWithheld) -> Iterator[TimelineStep]:
        if self._named is None or self._named[0] != event.sync_id:
            self._named = event.sync_id, {}
        for held in event.sessions:
            new = held.session_id not in self._withheld
            last = self._last.get(("session", held.session_id), {})
            title = held.title or str(last.get("title") or "")  # only the first have titles
            self._withheld[held.session_id] = self._named[1][held.session_id] = title
            subject = EventSubject("session", held.session_id, held.sessionize_id, title)
            if new and self._matches(subject):
                yield _step(recorded, subject, "withheld")

    def _complete(self, recorded: Recorded, event: SyncCompleted) -> Iterator[TimelineStep]:
        held = dict(self._withheld)
        if not event.counts.sessions.withheld:
            held = {}
        elif self._named is not None and self._named[0] == event.sync_id:
            held = self._named[1]
        for id_ in [id_ for id_ in self._withheld if id_ not in held]:
            key = str(self._last.get(("session", id_), {}).get("sessionize_id", ""))
            subject = EventSubject("session", id_, key, self._withheld[id_])
            if self._matches(subject):
                yield _step(recorded, subject, "released")
        self._withheld = held
        before, self._warnings = self._warnings, frozenset(event.warnings)
        if self._query.kind is None:
            return  # the runs list their warnings
        for warning in event.warnings:
            if warning in before or warning.code == "removals_withheld":
                continue  # withheld sessions have steps of their own
            kind = warned_kind(warning)
            for key in warning.sessionize_ids:
                id_ = entity_id(kind, self._event_id, event.organization_id, key)
                last = self._last.get((kind, id_), {})
                name = str(last.get("title") or self.names.get(str(id_)) or "")
                subject = EventSubject(kind, id_, key, name)
                if self._matches(subject):
                    reason = f"{warning.code}: {warning.message}"
                    yield _step(recorded, subject, "warned", reason)


def _step(
    recorded: Recorded,
    subject: EventSubject,
    change: str,
    reason: str | None = None,
    fields: FieldChanges | None = None,
) -> TimelineStep:
    return TimelineStep(
        position=recorded.position,
        version=recorded.version,
        recorded_at=recorded.recorded_at,
        sync_id=recorded.event.sync_id,
        type=recorded.type,
        kind=subject.kind,
        id=subject.id,
        sessionize_id=subject.sessionize_id or "",
        name=subject.name,
        change=change,
        reason=reason,
        fields=fields or {},
    )


def _differing(fields: FieldChanges) -> FieldChanges:
    return {name: (old, new) for name, (old, new) in fields.items() if old != new}
