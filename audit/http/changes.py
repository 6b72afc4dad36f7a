"""The changes of one sync, read from the log."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.http.models import ChangedField, EntityChange, HistoryStep
from audit.past.entities import EntityQuery
from audit.past.field_changes import FieldChanges
from audit.past.timeline_builder import TimelineBuilder
from audit.past.timeline_step import TimelineStep
from contracts.identity import OUTCOME, message_id
from eventstore.log import EventLog
from eventstore.model import Recorded

MAX_CHANGES = 1000


class RunChanges(NamedTuple):
    """The changes of one run."""

    first: tuple[EntityChange, ...]
    total: int


class _Reached(NamedTuple):
    """The place up to which a stream was read, and the report of the run that ends there."""

    version: int
    """The version of the stream at the outcome of `sync_id`."""
    hash: bytes
    """The hash of that outcome: a failover may put another stream of events in its place."""
    builder: TimelineBuilder
    """Holds each entity as it was after that outcome."""
    sync_id: UUID
    changes: RunChanges


class ChangesOfRuns:
    """Reads the changes of runs from the log.

    It remembers the entities of the last few SpreaView events, so that the report of a new run
    costs its own events, not the whole history. An erasure drops this memory: it may hold the
    person.
    """

    def __init__(self, log: EventLog, *, remembered: int = 16) -> None:
        self._log = log
        self._remembered = remembered
        self._reached: OrderedDict[UUID, _Reached] = OrderedDict()
        self._state: Hashable = None
        self._forgotten = 0
        """Number of times that everything was dropped."""

    def forget(self) -> None:
        """Drop everything, as after an erasure; do not keep what is being read."""
        self._reached.clear()
        self._forgotten += 1

    async def of(self, event_id: UUID, sync_id: UUID, state: Hashable) -> RunChanges:
        """The entities that a run changed, up to the first 1,000, in the order of the log.

        A run without an outcome has changed nothing. `state` changes with every erasure, and with
        the log.
        """
        if state != self._state:
            self.forget()
            self._state = state
        forgotten = self._forgotten
        outcome = await self._log.event(message_id(sync_id, OUTCOME))
        if outcome is None or outcome.stream_id != event_id:
            return RunChanges((), 0)
        before = self._reached.pop(event_id, None)  # nobody else may continue it meanwhile
        if before is not None and not await self._is_in_the_log(before, outcome):
            before = None
        if before is not None and before.sync_id == sync_id:
            after = before
        elif before is None or before.version > outcome.version:
            builder = TimelineBuilder(event_id, EntityQuery())
            after = await self._read(event_id, outcome, builder, 0)
        else:
            after = await self._read(event_id, outcome, before.builder, before.version)
        if forgotten == self._forgotten:
            self._remember(event_id, max(after, before or after, key=lambda each: each.version))
        return after.changes

    async def _is_in_the_log(self, reached: _Reached, outcome: Recorded) -> bool:
        """Whether the log still has the outcome that was read; `outcome` may be the same."""
        found: Recorded | None = outcome
        if outcome.event.sync_id != reached.sync_id:
            found = await self._log.event(message_id(reached.sync_id, OUTCOME))
        return found is not None and found.hash == reached.hash

    async def _read(
        self, event_id: UUID, outcome: Recorded, builder: TimelineBuilder, version: int
    ) -> _Reached:
        """Read on from a version up to the end of an outcome."""
        sync_id = outcome.event.sync_id
        found: list[EntityChange] = []
        total = 0
        async for recorded in self._log.read_stream(event_id, after=version):
            for step in builder.steps(recorded):
                if step.sync_id == sync_id:
                    total += 1
                    if len(found) < MAX_CHANGES:
                        found.append(_change(step, builder.names))
            if recorded.version >= outcome.version:
                break
        changes = RunChanges(tuple(found), total)
        return _Reached(outcome.version, outcome.hash, builder, sync_id, changes)

    def _remember(self, event_id: UUID, reached: _Reached) -> None:
        present = self._reached.get(event_id)
        if present is None or present.version < reached.version:
            self._reached[event_id] = reached
        self._reached.move_to_end(event_id)
        while len(self._reached) > self._remembered:
            self._reached.popitem(last=False)


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
