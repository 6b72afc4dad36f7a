"""`history`: the SpreaView events, the syncs of one of them, or the timeline of one entity."""

import shlex
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple
from uuid import UUID

import typer

from audit.past.entities import EntityQuery
from audit.past.events import event_summaries
from audit.past.moments import ALWAYS, NotInThePastError, Span
from audit.past.runs import runs
from audit.past.timeline import timeline
from cli.command import new_app, run
from cli.options import (
    Json,
    OptionalEvent,
    RoomOption,
    SpeakerOption,
    event_type_argument,
    query_of,
    time_argument,
)
from cli.render import past as render
from cli.render.answer import Answer, JsonArray, console
from cli.render.runs import show_events, show_runs
from cli.servers import open_database, open_log
from cli.settings import Settings
from eventstore.log import EventLog

app = new_app()

STATUSES: Mapping[str | None, Collection[str]] = {
    None: ("running", "completed", "failed", "superseded"),
    "SyncStarted": ("running", "completed", "failed", "superseded"),
    "SyncCompleted": ("completed",),
    "SyncFailed": ("failed", "superseded"),
}
"""The status of the runs that an event type selects; the other types are about entities."""


@app.command()
def history(
    event: OptionalEvent = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A session: its Sessionize id, its code, or our id."),
    ] = None,
    speaker: SpeakerOption = None,
    room: RoomOption = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=time_argument,
            metavar="TIME",
            help="From this time on. ISO 8601; without an offset it is UTC.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=time_argument, metavar="TIME", help="Up to this time."),
    ] = None,
    event_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            parser=event_type_argument,
            metavar="TYPE",
            help="Only events such as SessionImported.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the events, the syncs of one, or an entity's timeline.

    Without an event it lists the SpreaView events of the log. The timeline of a session, speaker
    or room shows every change, field by field.
    """
    query = query_of(session, room, speaker)
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--since is later than --until")
    span = Span(since, until)
    if event is None:
        if query.kind is not None or event_type is not None or span != ALWAYS:
            raise typer.BadParameter("name a SpreaView event")
        run(report_events, as_json=as_json)
    if query.kind is None and event_type in STATUSES:
        run(partial(report_runs, event, span, event_type), as_json=as_json)
    selection = Selection(event, query, span, event_type)
    run(partial(report_timeline, selection, as_json=as_json), as_json=as_json)


async def report_events(settings: Settings) -> Answer:
    """The SpreaView events of the log; the one that was synced last comes first."""
    async with open_database(settings) as engine:
        found = await event_summaries(engine)
    return Answer([each.to_json() for each in found], partial(show_events, events=found))


async def report_runs(
    event: UUID, span: Span, event_type: str | None, settings: Settings
) -> Answer:
    """The runs of an event whose status the type selects, oldest first."""
    async with open_log(settings) as log:
        statuses = STATUSES[event_type]
        found = [each async for each in runs(log, event, span) if each.status in statuses]
    return Answer([each.to_json() for each in found], partial(show_runs, runs=found))


class Selection(NamedTuple):
    """Which timelines are reported."""

    event: UUID
    query: EntityQuery
    span: Span
    event_type: str | None


async def report_timeline(selection: Selection, settings: Settings, *, as_json: bool) -> int:
    """Print a timeline while it is read: it may be as long as the log.

    Raises `NotInThePastError` for an entity that the history does not know.
    """
    output, array = console(), JsonArray()
    async with open_log(settings) as log:
        async for entry in timeline(log, *selection):
            if as_json:
                array.add(entry.step.to_json())
            else:
                render.show_timeline_entry(output, entry)
                array.length += 1
        if array.length == 0 and selection.query.kind is not None:
            await _require_known(log, selection)
    if as_json:
        array.end()
    elif array.length == 0:
        output.print("No matching events in that period.")
    return 0


async def _require_known(log: EventLog, selection: Selection) -> None:
    """Raise `NotInThePastError` unless the entity has a past outside the span."""
    async for _ in timeline(log, selection.event, selection.query):
        return
    kind, text = selection.query
    option = "" if kind == "session" else f"--{kind} "
    raise NotInThePastError(
        f"The history of the SpreaView event does not know a {kind} {text!r}. Next: "
        f"spreaview-sync explain {selection.event} {option}{shlex.quote(text)} says why, if the "
        "source contains it."
    )
