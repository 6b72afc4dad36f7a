"""`history` and `as-of`: what the log tells of the past."""

import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from rich.console import Console

from audit.as_of.diff import diff as compare
from audit.as_of.document_shape import shape_of
from audit.as_of.read_models import ReadModels, read_models_at
from audit.explain import explain as explaining
from audit.past.entities import EntityQuery
from audit.past.moments import Moment, NotInThePastError, Span, after_sync, parse_moment
from audit.past.runs import runs as runs_of
from audit.past.timeline import TimelineEntry, timeline
from cli.render import past as show_past
from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from eventstore.log import EventLog

NOT_FOUND = 1
_PIPED = 160


@asynccontextmanager
async def opened_log(settings: Settings) -> AsyncIterator[EventLog]:
    """The log, to be read; a role that may only SELECT is enough."""
    async with answering_database(resolve_database(settings), pool_size=1) as engine:
        yield EventLog(engine)


async def answered(settings: Settings, work: Callable[[EventLog], Awaitable[int]]) -> int:
    """Do the work on the log; what the log does not know ends with 1 and a sentence."""
    try:
        async with opened_log(settings) as log:
            return await work(log)
    except NotInThePastError as unknown:
        print(f"spreaview-sync: {unknown}", file=sys.stderr)
        return NOT_FOUND


def say_json(thing: object) -> None:
    """One JSON value on standard output."""
    print(json.dumps(thing, ensure_ascii=False))


def people() -> Console:
    """Where people read; what is piped has room for tables."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED
    return Console(highlight=False, emoji=False, width=width)


OF_RUNS: Mapping[str | None, Collection[str]] = {
    None: ("running", "completed", "failed", "superseded"),
    "SyncStarted": ("running", "completed", "failed", "superseded"),
    "SyncCompleted": ("completed",),
    "SyncFailed": ("failed", "superseded"),
}
"""Which runs an event type asks for; the other types are about entities."""


async def runs(
    settings: Settings,
    event: UUID,
    span: Span,
    event_type: str | None = None,
    *,
    as_json: bool,
) -> int:
    """The runs of an event; with a type of `OF_RUNS` those that came to that."""

    async def work(log: EventLog) -> int:
        wanted = OF_RUNS[event_type]
        found = [run async for run in runs_of(log, event, span) if run.status in wanted]
        if as_json:
            say_json([run.to_json() for run in found])
        elif found:
            show_past.runs(people(), found)
        else:
            print("No runs.")
        return 0

    return await answered(settings, work)


class Asked(NamedTuple):
    """Which lives are to be told."""

    event: UUID
    wanted: EntityQuery
    span: Span
    event_type: str | None


async def life(settings: Settings, asked: Asked, *, as_json: bool) -> int:
    """The life of an entity, or the events of one type."""

    async def work(log: EventLog) -> int:
        told = timeline(log, *asked)
        console, number = people(), 0
        async for step, names in told:
            if as_json:
                print("," if number else "[", end="")
                say_json(step.to_json())
            else:
                show_past.story(console, [TimelineEntry(step, names)])
            number += 1
        if number == 0 and asked.wanted.kind is not None:
            await _known(log, asked)
        if as_json:
            print("]" if number else "[]")
        if number == 0 and not as_json:
            console.print("Nothing of this in that time.")
        return 0

    return await answered(settings, work)


async def _known(log: EventLog, asked: Asked) -> None:
    """Raises `NotInThePastError` unless the entity has a past outside the span."""
    async for _ in timeline(log, asked.event, asked.wanted):
        return
    option = "" if asked.wanted.kind == "session" else f"--{asked.wanted.kind} "
    named = option + shlex.quote(asked.wanted.text)
    raise NotInThePastError(
        f"The history of the SpreaView event tells nothing of a {asked.wanted.kind} "
        f"{asked.wanted.text!r}. Next: spreaview-sync explain {asked.event} {named} tells why, if "
        "the source contains it."
    )


async def as_of(
    settings: Settings,
    event: UUID,
    sync: UUID | None,
    time: datetime | None,
    position: int | None,
    *,
    as_json: bool,
) -> int:
    """The read models at a moment."""

    async def work(log: EventLog) -> int:
        at = await after_sync(log, event, sync) if sync else Moment(position, time)
        models = await read_models_at(log, event, at)
        if as_json:
            say_json(models.to_json())
        else:
            _show_models(models)
        return 0

    return await answered(settings, work)


def _show_models(models: ReadModels) -> None:
    show_past.models(people(), models)


async def explain(settings: Settings, event: UUID, wanted: EntityQuery, *, as_json: bool) -> int:
    """Why something is or is not there; 1 if nothing of that name was ever seen."""

    async def work(log: EventLog) -> int:
        told = await explaining.explain(log, event, wanted.kind or "session", wanted.text)
        if as_json:
            say_json(told.to_json())
        else:
            show_past.explanation(people(), told)
        return NOT_FOUND if told.rule == "never_seen" else 0

    return await answered(settings, work)


async def diff(settings: Settings, event: UUID, before: str, after: str, *, as_json: bool) -> int:
    """What changed between two moments."""

    async def work(log: EventLog) -> int:
        old, new = [
            shape_of(await read_models_at(log, event, await parse_moment(log, event, text)))
            for text in (before, after)
        ]
        found = compare(old, new)
        if as_json:
            say_json(found.to_json())
        else:
            show_past.differences(people(), found.changes, show_past.names_of(old, new))
        return 0

    return await answered(settings, work)
