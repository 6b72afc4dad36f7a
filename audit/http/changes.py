"""The changes of one sync, read from the log."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.http.models import ChangedField, EntityChange, HistoryStep
from audit.past.entities import EntityQuery
from audit.past.field_changes import FieldChanges
from audit.past.timeline import timeline
from audit.past.timeline_step import TimelineStep
from eventstore.log import EventLog

MAX_CHANGES = 1000


class RunChanges(NamedTuple):
    """The changes of one run."""

    first: tuple[EntityChange, ...]
    total: int


async def changes_of(log: EventLog, event_id: UUID, sync_id: UUID) -> RunChanges:
    """The entities that a sync changed, up to the first 1,000, in the order of the log.

    Raises:
        NotInThePastError: the log does not know the event.
    """
    found: list[EntityChange] = []
    total = 0
    async for step, names, _ in timeline(log, event_id, EntityQuery()):
        if step.sync_id == sync_id:
            total += 1
            if len(found) < MAX_CHANGES:
                found.append(_change(step, names))
    return RunChanges(tuple(found), total)


def history_step(step: TimelineStep, names: Mapping[str, str]) -> HistoryStep:
    """A step as the history shows it."""
    return HistoryStep(**step._asdict() | {"fields": _fields(step.fields, names)})


def _change(step: TimelineStep, names: Mapping[str, str]) -> EntityChange:
    return EntityChange(
        position=step.position,
        kind=step.kind,
        id=step.id,
        sessionize_id=step.sessionize_id,
        name=step.name,
        change=step.change,
        reason=step.reason,
        fields=_fields(step.fields, names),
    )


def _fields(changes: FieldChanges, names: Mapping[str, str]) -> dict[str, ChangedField]:
    """The changed fields; rooms and speakers by name, as people know them."""
    return {
        _LABELS.get(field, field): ChangedField(old=_named(old, names), new=_named(new, names))
        for field, (old, new) in changes.items()
        if field not in _OURS
    }


_OURS = frozenset({"session_code", "sessionize_id"})
_LABELS = {"room_id": "room", "speaker_ids": "speakers"}


def _named(value: object, names: Mapping[str, str]) -> object:
    plain = msgspec.to_builtins(value)
    if isinstance(plain, str):
        return names.get(plain, plain)
    if isinstance(plain, list):
        return [names.get(item, item) if isinstance(item, str) else item for item in plain]
    return plain
