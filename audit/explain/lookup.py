"""Finding the entity that a person asks for: by an id, a code, or a unique part of a name."""

from collections.abc import Iterator
from uuid import UUID

from audit.explain.survey import Survey
from audit.past.entities import EntityQuery, entity_id
from audit.past.moments import NotInThePastError
from contracts.subjects import subject_of
from worker.rules.text import UnreadableTextError, clean_title

_MAX_LISTED = 5
"""The error for an ambiguous name lists up to this many entities."""


def find_entity(survey: Survey, kind: str, text: str) -> str | None:
    """The Sessionize id of an entity in the log or in the newest documents; None if none matches.

    An id or a code takes precedence over a whole name, and a whole name over a part of one.

    Raises:
        NotInThePastError: the names of several entities contain the text; the message lists some.
    """
    try:
        text = clean_title(text)  # as names in the log are: a keyboard may decompose characters
    except UnreadableTextError:
        return None
    names = dict(_names(survey, kind))
    if text in names:
        return text
    if survey.organization_id is not None:
        query = EntityQuery(kind, text)
        for key in names:
            id_ = entity_id(kind, survey.event_id, survey.organization_id, key)
            if query.matches(kind, id_, key):
                return key
    lowered = text.casefold()
    whole = [key for key, name in names.items() if name.casefold() == lowered]
    matching = whole or [
        key for key, name in names.items() if lowered and lowered in name.casefold()
    ]
    if len(matching) > 1:
        some = "; ".join(f"{names[key]} ({key})" for key in matching[:_MAX_LISTED])
        more = "; …" if len(matching) > _MAX_LISTED else ""
        raise NotInThePastError(
            f"{len(matching)} {kind}s have {text!r} in their names: {some}{more}"
        )
    return matching[0] if matching else None


def name_of(survey: Survey, kind: str, key: str) -> str:
    """The newest name of an entity; empty if it is unknown or was erased."""
    return dict(_names(survey, kind)).get(key, "")


def our_id(survey: Survey, kind: str, key: str) -> UUID | None:
    """Our id of an entity; None while the organization is unknown."""
    if survey.organization_id is None:
        return None
    return entity_id(kind, survey.event_id, survey.organization_id, key)


def _names(survey: Survey, kind: str) -> Iterator[tuple[str, str]]:
    """Every known entity with its name; a later pair of the same key replaces an earlier one."""
    for schedule in reversed(survey.schedules):
        if kind == "session":
            yield from dict.fromkeys(schedule.invalid_sessions, "").items()
            yield from ((key, s.title) for key, s in schedule.sessions.items())
        elif kind == "room":
            yield from ((key, r.name) for key, r in schedule.rooms.items())
        else:
            yield from ((key, p.full_name or "") for key, p in schedule.speakers.items())
    for (decided, key), decision in survey.decided.items():
        if decided == kind:
            subject = subject_of(decision.event)
            yield key, subject.name if subject else ""
    if kind == "speaker":
        for key, speaker in (survey.state.past_speakers | survey.state.speakers).items():
            yield key, speaker.full_name or ""
