"""Normalising: turn a parsed document into a schedule, with clean texts, instants and our ids."""

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts import identity
from contracts.events import Link, Room, Speaker, SyncWarning
from worker.rules.document import (
    Broken,
    Document,
    Id,
    SourceLink,
    SourceRoom,
    SourceSession,
    SourceSpeaker,
)
from worker.rules.schedule import PlannedSession, Schedule
from worker.rules.text import MAX_FIELD_BYTES, clean, clean_optional
from worker.rules.window import parse_instant

MAX_ID_BYTES = 1000
"""Longest Sessionize id: ids are keys of rows and appear in warnings. Real ones have up to 36."""

MAX_SORT = 2**31 - 1
MAX_SPEAKERS = 1000
MAX_LINKS = 1000

Source = TypeVar("Source", SourceSession, SourceSpeaker, SourceRoom)
Entity = TypeVar("Entity", PlannedSession, Speaker, Room)


def normalise(
    document: Document, *, organization_id: UUID, spreaview_event_id: UUID, zone: ZoneInfo
) -> Schedule:
    """Return the schedule of a document, whose wall times are in `zone`.

    An element that breaks a rule is invalid, with a warning. If two elements share an id, the
    first counts.
    """
    warnings: list[SyncWarning] = []
    sessions, invalid_sessions = _collect(
        "session", document.sessions, lambda source: _session(source, zone), warnings
    )
    speakers, invalid_speakers = _collect(
        "speaker", document.speakers, lambda source: _speaker(source, organization_id), warnings
    )
    rooms, invalid_rooms = _collect(
        "room", document.rooms, lambda source: _room(source, spreaview_event_id), warnings
    )
    return Schedule(
        sessions=sessions,
        rooms=rooms,
        speakers=speakers,
        invalid_sessions=invalid_sessions,
        invalid_rooms=invalid_rooms,
        invalid_speakers=invalid_speakers,
        warnings=tuple(warnings),
        listed=len(document.sessions),
    )


def _collect(
    kind: str,
    sources: Iterable[Source | Broken],
    make: Callable[[Source], Entity],
    warnings: list[SyncWarning],
) -> tuple[dict[str, Entity], frozenset[str]]:
    """Return the entities by id, and the ids of unreadable ones. The first of an id counts."""
    entities: dict[str, Entity] = {}
    invalid: set[str] = set()
    for source in sources:
        if isinstance(source, Broken):
            broken = None if source.id is None else _id_or_none(source.id)
            _invalid(kind, broken, source.reason, warnings)
            if broken is not None and broken not in entities:
                invalid.add(broken)
            continue
        key = _id_or_none(source.id)
        if key is None:
            _invalid(kind, None, "its id is empty or too long", warnings)
            continue
        if key in entities or key in invalid:
            warnings.append(
                SyncWarning(
                    code=f"duplicate_{kind}",
                    message=f"Sessionize lists the {kind} {key} twice; the first counts.",
                    sessionize_ids=(key,),
                )
            )
            continue
        try:
            entities[key] = make(source)
        except ValueError as error:
            _invalid(kind, key, str(error), warnings)
            invalid.add(key)
    return entities, frozenset(invalid)


def _invalid(
    kind: str, sessionize_id: str | None, reason: str, warnings: list[SyncWarning]
) -> None:
    named = f"{kind} {sessionize_id}" if sessionize_id else f"{kind} without a readable id"
    warnings.append(
        SyncWarning(
            code=f"invalid_{kind}",
            message=f"The {named} cannot be read: {reason}. "
            "If it was imported before, it stays as it was.",
            sessionize_ids=(sessionize_id,) if sessionize_id else (),
        )
    )


def _id(raw: Id) -> str:
    sessionize_id = clean(str(raw))
    if len(sessionize_id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"an id in it is longer than {MAX_ID_BYTES} bytes")
    return sessionize_id


def _id_or_none(raw: Id) -> str | None:
    """Return an id that can identify an element: not empty and not too long."""
    try:
        return _id(raw) or None
    except ValueError:
        return None


def _session(source: SourceSession, zone: ZoneInfo) -> PlannedSession:
    return PlannedSession(
        sessionize_id=_id(source.id),
        title=clean(source.title),
        abstract=clean_optional(source.description),
        starts_at=None if source.starts_at is None else parse_instant(source.starts_at, zone),
        ends_at=None if source.ends_at is None else parse_instant(source.ends_at, zone),
        room=None if source.room_id is None else _id(source.room_id),
        speakers=_speakers(source.speakers or ()),
        is_service_session=bool(source.is_service_session),
        is_plenum_session=bool(source.is_plenum_session),
        live_url=clean_optional(source.live_url),
        recording_url=clean_optional(source.recording_url),
    )


def _speaker(source: SourceSpeaker, organization_id: UUID) -> Speaker:
    sessionize_id = _id(source.id)
    return Speaker(
        speaker_id=identity.speaker_id(organization_id, sessionize_id),
        sessionize_id=sessionize_id,
        is_top_speaker=bool(source.is_top_speaker),
        first_name=clean(source.first_name or ""),
        last_name=clean(source.last_name or ""),
        full_name=clean(source.full_name or ""),
        tag_line=clean_optional(source.tag_line),
        bio=clean_optional(source.bio),
        profile_picture=clean_optional(source.profile_picture),
        links=_links(source.links or ()),
    )


def _speakers(ids: tuple[Id, ...]) -> tuple[str, ...]:
    if len(ids) > MAX_SPEAKERS:
        raise ValueError(f"it has {len(ids)} speakers, more than {MAX_SPEAKERS}")
    return tuple(dict.fromkeys(_id(speaker) for speaker in ids))


def _links(sources: tuple[SourceLink, ...]) -> tuple[Link, ...]:
    """All links of a speaker together count as one field, with its size limit."""
    links = tuple(_link(source) for source in sources)
    size = sum(len(f"{link.title}{link.url}{link.link_type}".encode()) for link in links)
    if size > MAX_FIELD_BYTES or len(links) > MAX_LINKS:
        raise ValueError(f"its {len(links)} links hold {size} bytes, more than a field may")
    return links


def _link(source: SourceLink) -> Link:
    return Link(
        title=clean(source.title or ""),
        url=clean(source.url or ""),
        link_type=clean(source.link_type or ""),
    )


def _room(source: SourceRoom, spreaview_event_id: UUID) -> Room:
    sessionize_id = _id(source.id)
    return Room(
        room_id=identity.room_id(spreaview_event_id, sessionize_id),
        sessionize_id=sessionize_id,
        name=clean(source.name or ""),
        sort=_sort(source.sort or 0),
    )


def _sort(sort: int) -> int:
    """Larger integers are not exact in JSON or in some clients."""
    if abs(sort) > MAX_SORT:
        raise ValueError(f"sort {str(sort)[:40]} is beyond {MAX_SORT}")
    return sort
