"""Sessions, rooms and speakers as the audit names them, and what can happen to them."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from contracts import identity
from contracts.events import SyncWarning

Fields: TypeAlias = Mapping[str, tuple[object, object]]
"""Old and new, by field."""


class EntityQuery(NamedTuple):
    """Whose life is told. `text` is a Sessionize id, our UUID, or a session code."""

    kind: str | None = None
    """session, room or speaker; None: all entities."""
    text: str = ""

    def means(self, kind: str, id_: UUID, sessionize_id: str | None) -> bool:
        """Whether an entity is the one, or one of those, that are wanted."""
        if self.kind is None:
            return True
        if self.kind != kind:
            return False
        if self.text == sessionize_id or self.text.lower() == str(id_):
            return True
        return kind == "session" and self.text.upper() == identity.session_code(id_)


class TimelineStep(NamedTuple):
    """One thing that happened to one entity."""

    position: int
    version: int
    recorded_at: datetime
    sync_id: UUID
    type: str
    """The event's."""
    kind: str
    """session, room or speaker."""
    id: UUID
    sessionize_id: str
    name: str
    change: str
    """added, updated, restored, repeated, skipped, withdrawn, withheld, released, warned, erased.

    `released`: its removal is not held back any more, it is in the source again. `warned`: a
    warning names it that did not before."""
    reason: str | None
    """Why it was skipped or withdrawn; of a warning its code and text."""
    fields: Fields
    """Old and new by field, of those that differ from what was known last."""


def entity_id(kind: str, event_id: UUID, organization_id: UUID, sessionize_id: str) -> UUID:
    """Our id of an entity that a document names."""
    match kind:
        case "session":
            return identity.session_id(event_id, sessionize_id)
        case "room":
            return identity.room_id(event_id, sessionize_id)
        case _:
            return identity.speaker_id(organization_id, sessionize_id)


def kind_of(warning: SyncWarning) -> str:
    """Of which kind the ids are that a warning names."""
    for kind in ("room", "speaker"):
        if warning.code in (f"invalid_{kind}", f"duplicate_{kind}"):
            return kind
    return "session"
