"""Normalising: turn a parsed document into a schedule, with clean texts, instants and our ids."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from contracts import identity
from contracts.codec import PERSONAL_FIELDS
from contracts.events import Link, Room, Speaker, SpeakerImported, SyncWarning, Topic
from worker.rules.document import (
    Broken,
    Document,
    Element,
    Id,
    SourceLink,
    SourceRoom,
    SourceSession,
    SourceSpeaker,
)
from worker.rules.ids import read_id, usable_id
from worker.rules.schedule import PlannedSession, Reading, Schedule
from worker.rules.text import MAX_FIELD_BYTES, clean, clean_field
from worker.rules.topics import Topics, UnknownTopicsError, topics_of
from worker.rules.window import parse_end, parse_instant

MAX_SORT = 2**31 - 1
MAX_SPEAKERS = 1000
MAX_LINKS = 1000

VITAL_FIELDS = frozenset({"title", "starts_at", "ends_at", "room", "speakers"})
"""A session is not updated at all if one of these fields cannot be read."""

_CONTRACT_NAMES = {"description": "abstract", "room_id": "room", "category_items": "topics"}
"""Names of fields in the contract, where Sessionize's are others."""

_LONGEST_REASON = 200

Source = TypeVar("Source", SourceSession, SourceSpeaker, SourceRoom)
Entity = TypeVar("Entity", PlannedSession, Speaker, Room)
Value = TypeVar("Value")


def normalise(
    document: Document, *, organization_id: UUID, spreaview_event_id: UUID, zone: ZoneInfo
) -> Schedule:
    """Return the schedule of a document, whose wall times are in `zone`.

    A field that cannot be read is null, with a warning. A session is invalid if the field is one
    of `VITAL_FIELDS`.
    """
    warnings: list[SyncWarning] = []
    topics = topics_of(document)
    sessions = _collect(
        "session", document.sessions, lambda s, f: _session(s, f, zone, topics), warnings
    )
    speakers = _collect(
        "speaker", document.speakers, lambda s, f: _speaker(s, f, organization_id), warnings
    )
    rooms = _collect("room", document.rooms, lambda s, f: _room(s, f, spreaview_event_id), warnings)
    warnings += topics.warnings
    return Schedule(
        sessions=sessions.entities,
        rooms=rooms.entities,
        speakers=speakers.entities,
        invalid_sessions=frozenset(sessions.invalid),
        warnings=tuple(warnings),
        listed=len(document.sessions),
        invalid_fields=sessions.invalid,
        session_readings=sessions.readings,
        room_readings=rooms.readings,
        speaker_readings=speakers.readings,
        speaker_spellings=frozenset(
            spelled
            for element in document.speakers
            if isinstance(element, Element) and (spelled := _other_spelling(element.source.id))
        ),
    )


class _Fields:
    """The fields of one element, and the reason for each unreadable field."""

    def __init__(self, unreadable: Mapping[str, str]) -> None:
        self.unreadable: dict[str, str] = {}
        if unreadable:
            self.unreadable = {
                _CONTRACT_NAMES.get(field, field): why for field, why in unreadable.items()
            }
        self.unknown: set[str] = set()
        """Fields without a value because another element cannot be read, which has a warning."""

    def read(self, name: str, make: Callable[[], Value]) -> Value | None:
        """Return the value that `make` gives; None if the field cannot be read."""
        if name in self.unreadable:
            return None
        try:
            return make()
        except ValueError as error:
            self.unreadable[name] = str(error)
            return None

    def text(self, name: str, found: str | None) -> str | None:
        """Return a clean text, or None."""
        return None if found is None else self.name(name, found)

    def name(self, name: str, found: str | None) -> str | None:
        """Return a clean text, which is empty if the document has null; None if unreadable."""
        if name in self.unreadable:
            return None
        try:
            return clean_field(name, found or "")
        except ValueError as error:
            self.unreadable[name] = str(error)
            return None


class _Collected(NamedTuple, Generic[Entity]):
    entities: dict[str, Entity]
    readings: dict[str, tuple[Reading[Entity], ...]]
    invalid: dict[str, tuple[str, ...]]


def _collect(
    kind: str,
    elements: Iterable[Element[Source] | Broken],
    make: Callable[[Source, _Fields], Entity],
    warnings: list[SyncWarning],
) -> _Collected[Entity]:
    """Read the elements of a list, by id."""
    readings: dict[str, list[Reading[Entity]]] = {}
    invalid: dict[str, tuple[str, ...]] = {}
    twice: set[str] = set()
    for element in elements:
        key = None if isinstance(element, Broken) else usable_id(element.source.id)
        if isinstance(element, Broken) or key is None:
            reason = element.reason if isinstance(element, Broken) else "it is empty or too long"
            warnings.append(_without_id(kind, reason))
            continue
        fields = _Fields(element.unreadable)
        entity = make(element.source, fields)
        if (key in readings or key in invalid) and key not in twice:
            twice.add(key)
            warnings.append(_listed_twice(kind, key))
        vital = VITAL_FIELDS & fields.unreadable.keys() if kind == "session" else frozenset()
        if fields.unreadable:
            warnings.append(_unreadable(kind, key, fields.unreadable, whole=bool(vital)))
        if vital:
            invalid.setdefault(key, tuple(sorted(fields.unreadable)))
        else:
            without = frozenset(fields.unreadable) | fields.unknown
            readings.setdefault(key, []).append(Reading(entity, without))
    return _Collected(
        {key: found[0].entity for key, found in readings.items()},
        {
            key: tuple(found)
            for key, found in readings.items()
            if len(found) > 1 or found[0].unreadable
        },
        {key: fields for key, fields in invalid.items() if key not in readings},
    )


def _without_id(kind: str, reason: str) -> SyncWarning:
    return SyncWarning(
        code=f"invalid_{kind}",
        message=f"A {kind} without a readable id is ignored: {reason[:_LONGEST_REASON]}.",
    )


def _listed_twice(kind: str, key: str) -> SyncWarning:
    return SyncWarning(
        code=f"duplicate_{kind}",
        message=f"Sessionize lists the {kind} {key} more than once. The one that is imported "
        "already counts, else the first.",
        sessionize_ids=(key,),
    )


def _unreadable(kind: str, key: str, reasons: Mapping[str, str], *, whole: bool) -> SyncWarning:
    fields = ", ".join(f"{name} ({why[:_LONGEST_REASON]})" for name, why in reasons.items())
    consequence = (
        "If it is in the schedule and within the dates, its last version stays."
        if whole
        else "What cannot be read keeps its last value."
    )
    return SyncWarning(
        code=f"invalid_{kind}",
        message=f"The {kind} {key} cannot be read completely: {fields}. {consequence}",
        sessionize_ids=(key,),
    )


def _other_spelling(raw: Id) -> str | None:
    """Return an id as the document spells it, unless that is our spelling."""
    key = usable_id(raw)
    return clean(str(raw)) if key is not None and clean(str(raw)) != key else None


def _session(
    source: SourceSession, fields: _Fields, zone: ZoneInfo, topics: Topics
) -> PlannedSession:
    starts, ends, room = source.starts_at, source.ends_at, source.room_id
    starts_at = fields.read(
        "starts_at", lambda: None if starts is None else parse_instant(starts, zone)
    )
    items = fields.read("topics", lambda: _items(source.category_items or ()))
    return PlannedSession(
        sessionize_id=read_id(source.id),
        title=fields.read("title", lambda: _title(source.title)) or "",
        abstract=fields.text("abstract", source.description),
        starts_at=starts_at,
        ends_at=fields.read(
            "ends_at", lambda: None if ends is None else parse_end(ends, starts_at, zone)
        ),
        room=fields.read("room", lambda: None if room is None else read_id(room)),
        speakers=fields.read("speakers", lambda: _speakers(source.speakers or ())) or (),
        is_service_session=bool(source.is_service_session),
        is_plenum_session=bool(source.is_plenum_session),
        live_url=fields.text("live_url", source.live_url),
        recording_url=fields.text("recording_url", source.recording_url),
        status=fields.text("status", source.status),
        topics=None if items is None else _topics(items, fields, topics),
        unknown_topics=topics.unlisted(items or ()),
    )


def _items(raw: tuple[Id, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(read_id(item) for item in raw))


def _topics(items: tuple[str, ...], fields: _Fields, topics: Topics) -> tuple[Topic, ...] | None:
    try:
        return fields.read("topics", lambda: topics.named(items))
    except UnknownTopicsError:
        fields.unknown.add("topics")
        return None


def _title(title: str | None) -> str:
    if title is None:
        raise ValueError("it has none")
    return clean_field("title", title)


def _speaker(source: SourceSpeaker, fields: _Fields, organization_id: UUID) -> Speaker:
    sessionize_id = read_id(source.id)
    speaker = Speaker(
        speaker_id=identity.speaker_id(organization_id, sessionize_id),
        sessionize_id=sessionize_id,
        is_top_speaker=bool(source.is_top_speaker),
        first_name=fields.name("first_name", source.first_name),
        last_name=fields.name("last_name", source.last_name),
        full_name=fields.name("full_name", source.full_name),
        tag_line=fields.text("tag_line", source.tag_line),
        bio=fields.text("bio", source.bio),
        profile_picture=fields.text("profile_picture", source.profile_picture),
        links=fields.read("links", lambda: _links(source.links or ())),
    )
    if all(getattr(speaker, name) is None for name in PERSONAL_FIELDS[SpeakerImported.__name__]):
        # Null in all of them is the mark of an erased person.
        return msgspec.structs.replace(speaker, links=())
    return speaker


def _speakers(ids: tuple[Id, ...]) -> tuple[str, ...]:
    if len(ids) > MAX_SPEAKERS:
        raise ValueError(f"it has {len(ids)} speakers, more than {MAX_SPEAKERS}")
    return tuple(dict.fromkeys(read_id(speaker) for speaker in ids))


def _links(sources: tuple[SourceLink, ...]) -> tuple[Link, ...]:
    """All links of a speaker together count as one field, with its size limit."""
    links = tuple(_link(source) for source in sources)
    size = sum(len(f"{link.title}{link.url}{link.link_type}".encode()) for link in links)
    if size > MAX_FIELD_BYTES or len(links) > MAX_LINKS:
        raise ValueError(f"its {len(links)} links hold {size} bytes, more than a field may")
    return links


def _link(source: SourceLink) -> Link:
    return Link(
        title=clean_field("title", source.title or ""),
        url=clean(source.url or ""),
        link_type=clean(source.link_type or ""),
    )


def _room(source: SourceRoom, fields: _Fields, spreaview_event_id: UUID) -> Room:
    """A room; without a readable name it is named after its id."""
    sessionize_id = read_id(source.id)
    return Room(
        room_id=identity.room_id(spreaview_event_id, sessionize_id),
        sessionize_id=sessionize_id,
        name=fields.read("name", lambda: _room_name(source.name)) or f"Room {sessionize_id}",
        sort=fields.read("sort", lambda: _sort(source.sort or 0)) or 0,
    )


def _room_name(name: str | None) -> str:
    if not (cleaned := clean_field("name", name or "")):
        raise ValueError("it has none")
    return cleaned


def _sort(sort: int) -> int:
    """Larger integers are not exact in JSON or in some clients."""
    if abs(sort) > MAX_SORT:
        raise ValueError(f"{str(sort)[:40]} is beyond {MAX_SORT}")
    return sort
