"""One step of the timeline of a session, a room or a speaker."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.past.field_changes import FieldChanges, changes_to_json


class TimelineStep(NamedTuple):
    """One change of one entity, made by one event."""

    position: int
    version: int
    recorded_at: datetime
    sync_id: UUID
    type: str
    """The name of the event's class, such as SessionImported."""
    kind: str
    """session, room or speaker; requester: the erasure of a person who requested syncs."""
    id: UUID
    sessionize_id: str
    name: str
    change: str
    """added, updated, restored, repeated, skipped, withdrawn, withheld, released, warned, erased.

    `released`: the removal is no longer withheld, because the session is in the source again.
    `warned`: a warning names the entity, and the last completed run had no such warning."""
    reason: str | None
    """Why the entity was skipped or withdrawn; for `warned` the warning's code and message.

    `erased` at an import: the speaker has no personal fields any more, or had none."""
    fields: FieldChanges
    """The fields that differ from the entity as it was last."""

    def to_json(self) -> dict[str, object]:
        """The step as JSON values; `fields` is `{name: {old, new}}`."""
        step: dict[str, object] = msgspec.to_builtins(self._asdict() | {"fields": {}})
        return step | {"fields": changes_to_json(self.fields)}
