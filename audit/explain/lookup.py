"""Finding what a person means: by an id, a code, or a unique part of a name."""

from collections.abc import Iterator
from uuid import UUID

from audit.explain.survey import Survey
from audit.past.entities import EntityQuery, entity_id
from audit.past.moments import NotInThePastError

_NAMED = 5


def find(found: Survey, kind: str, text: str) -> str | None:
    """The Sessionize id of an entity of the log or of the newest documents; None if none fits.

    An id or a code counts before a whole name, a whole name before a part of one.

    Raises:
        NotInThePastError: several have the text in their names; the sentence lists some.
    """
    text = text.strip()
    names = dict(_names(found, kind))
    if text in names:
        return text
    if found.organization_id is not None:
        query = EntityQuery(kind, text)
        for key in names:
            id_ = entity_id(kind, found.event_id, found.organization_id, key)
            if query.matches(kind, id_, key):
                return key
    lowered = text.casefold()
    whole = [key for key, name in names.items() if name.casefold() == lowered]
    fitting = whole or [
        key for key, name in names.items() if lowered and lowered in name.casefold()
    ]
    if len(fitting) > 1:
        some = "; ".join(f"{names[key]} ({key})" for key in fitting[:_NAMED])
        more = "; …" if len(fitting) > _NAMED else ""
        raise NotInThePastError(
            f"{len(fitting)} {kind}s have {text!r} in their names: {some}{more}"
        )
    return fitting[0] if fitting else None


def name_of(found: Survey, kind: str, key: str) -> str:
    """What an entity is called, newest first; empty if it is not known or was erased."""
    return dict(_names(found, kind)).get(key, "")


def our_id(found: Survey, kind: str, key: str) -> UUID | None:
    """Our id of an entity, if the organization is known."""
    if found.organization_id is None:
        return None
    return entity_id(kind, found.event_id, found.organization_id, key)


def _names(found: Survey, kind: str) -> Iterator[tuple[str, str]]:
    """Every known entity with its name; a later one of a key is the one shown."""
    state = found.state
    for schedule in reversed(found.schedules):
        if kind == "session":
            yield from dict.fromkeys(schedule.invalid_sessions, "").items()
            yield from ((key, s.title) for key, s in schedule.sessions.items())
        elif kind == "room":
            yield from dict.fromkeys(schedule.invalid_rooms, "").items()
            yield from ((key, r.name) for key, r in schedule.rooms.items())
        else:
            yield from dict.fromkeys(schedule.invalid_speakers, "").items()
            yield from ((key, p.full_name or "") for key, p in schedule.speakers.items())
    for (decided, key), decision in found.decided.items():
        if decided == kind:
            event = decision.event
            name = getattr(event, "title", None) or getattr(event, "name", None)
            yield key, name or getattr(event, "full_name", None) or ""
    if kind == "speaker":
        for key, speaker in (state.past_speakers | state.speakers).items():
            yield key, speaker.full_name or ""
