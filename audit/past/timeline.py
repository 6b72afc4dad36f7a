"""The timeline of the entities of a SpreaView event, read from the log."""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from uuid import UUID

from audit.past.entities import EntityQuery
from audit.past.moments import ALWAYS, Span, require_stream
from audit.past.timeline_builder import TimelineBuilder
from audit.past.timeline_step import TimelineStep
from contracts.events import SyncStarted
from eventstore.log import EventLog


class TimelineEntry(NamedTuple):
    """A step, with the names of the rooms and speakers that its fields refer to by id."""

    step: TimelineStep
    names: Mapping[str, str]
    """The newest names of rooms and speakers by our ids, as of this step."""
    time_zone: str | None
    """The zone of the event, as of this step."""


async def timeline(
    log: EventLog,
    event_id: UUID,
    query: EntityQuery,
    span: Span = ALWAYS,
    event_type: str | None = None,
) -> AsyncIterator[TimelineEntry]:
    """The steps of the entities that match a query, in the order of the log.

    Memory holds one page of the log and the last form of each entity, however long the history is.

        async for entry in timeline(log, event_id, EntityQuery("session", "100001")): ...

    Raises:
        NotInThePastError: the log does not know the event.
    """
    await require_stream(log, event_id)
    builder = TimelineBuilder(event_id, query)
    time_zone = None
    async for recorded in log.read_stream(event_id):
        if isinstance(recorded.event, SyncStarted):
            time_zone = recorded.event.window.time_zone
        for step in builder.steps(recorded):
            if span.includes(step.recorded_at) and event_type in (None, step.type):
                yield TimelineEntry(step, builder.names, time_zone)
