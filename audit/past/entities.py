"""Naming sessions, rooms and speakers: queries for them, and their ids."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from contracts import identity
from contracts.events import SyncWarning


class EntityQuery(NamedTuple):
    """A query for one entity, or for all of them.

    `EntityQuery("speaker", "…")` is one speaker, `EntityQuery()` is every entity.
    """

    kind: str | None = None
    """session, room or speaker; None: all entities."""
    text: str = ""
    """A Sessionize id, our UUID, or a session code."""

    def matches(self, kind: str, id_: UUID, sessionize_id: str | None) -> bool:
        """Whether the query includes an entity."""
        if self.kind is None:
            return True
        if self.kind != kind:
            return False
        if self.text == sessionize_id:
            return True
        uuid = read_uuid(self.text)
        if uuid is not None and (uuid == id_ or str(uuid) == (sessionize_id or "").lower()):
            return True
        return kind == "session" and self.text.upper() == identity.session_code(id_)


@lru_cache(maxsize=16)
def read_uuid(text: str) -> UUID | None:
    """Read a UUID in any case, with blanks and without hyphens; None if the text is no UUID."""
    try:
        return UUID("".join(text.split()))
    except ValueError:
        return None


def entity_id(kind: str, event_id: UUID, organization_id: UUID, sessionize_id: str) -> UUID:
    """Our id of an entity that a document names."""
    match kind:
        case "session":
            return identity.session_id(event_id, sessionize_id)
        case "room":
            return identity.room_id(event_id, sessionize_id)
        case _:
            return identity.speaker_id(organization_id, sessionize_id)


def warned_kind(warning: SyncWarning) -> str:
    """The kind of the entities whose ids a warning lists."""
    for kind in ("room", "speaker"):
        if warning.code in (f"invalid_{kind}", f"duplicate_{kind}"):
            return kind
    return "session"
