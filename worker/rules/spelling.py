"""Spellings of Sessionize ids: a GUID is the same id in upper and in lower case.

An id that a stream knows keeps its spelling there, because our ids and codes derive from it. A new
id is stored in lower case.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from uuid import UUID

from contracts import identity

_GUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def canonical_id(sessionize_id: str) -> str:
    """Return a GUID in lower case, and any other id as it is."""
    return sessionize_id.lower() if _GUID.fullmatch(sessionize_id) else sessionize_id


def known_spellings(*known: Iterable[str]) -> Mapping[str, str]:
    """Map canonical ids to the spelling in use, where that is another one.

        known_spellings(state.rooms, state.past_rooms)

    An earlier argument takes precedence. Within one, lower case does; it may hold two spellings of
    one id if it is older than this rule.
    """
    found: dict[str, str] = {}
    for keys in known:
        guids = sorted((key for key in keys if _GUID.fullmatch(key)), reverse=True)
        for key in guids:
            found.setdefault(key.lower(), key)
    return {canonical: key for canonical, key in found.items() if canonical != key}


def spellings_of(sessionize_id: str) -> Iterator[str]:
    """Yield an id as it is and, if it is a GUID, in lower and in upper case."""
    yield sessionize_id
    if _GUID.fullmatch(sessionize_id):
        yield sessionize_id.lower()
        yield sessionize_id.upper()


def erased_in_any_spelling(
    erased: Set[UUID], known: Iterable[str], organization_id: UUID
) -> Set[UUID]:
    """Add the ids that erased speakers have in lower case to `erased`.

    `known` are the Sessionize ids of the speakers of a stream, in its spelling.
    """
    if not erased:
        return erased
    return erased | {
        identity.speaker_id(organization_id, canonical_id(key))
        for key in known
        if identity.speaker_id(organization_id, key) in erased
    }
