"""`as-of`: the read models of an event at a moment of the past."""

from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from audit.as_of.read_models import read_models_at
from audit.past.moments import Moment, after_sync
from cli.command import new_app, run
from cli.options import Event, Json, time_argument, uuid_argument
from cli.render.answer import Answer
from cli.render.as_of import show_read_models
from cli.servers import open_log
from cli.settings import Settings

app = new_app()


@app.command()
def as_of(
    event: Event,
    sync: Annotated[
        UUID | None,
        typer.Option(parser=uuid_argument, metavar="UUID", help="Right after this sync."),
    ] = None,
    time: Annotated[
        datetime | None,
        typer.Option(
            parser=time_argument,
            metavar="TIME",
            help="At this time. ISO 8601; without an offset it is UTC.",
        ),
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Up to this position of the log.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the read models of an event as they were.

    They are computed from the log; the live read models are not touched.
    """
    if sum(choice is not None for choice in (sync, time, position)) != 1:
        raise typer.BadParameter("use one of --sync, --time and --position")
    run(partial(report_read_models, event, sync, Moment(position, time)), as_json=as_json)


async def report_read_models(
    event: UUID, sync: UUID | None, moment: Moment, settings: Settings
) -> Answer:
    """The read models after a sync, or at a moment."""
    async with open_log(settings) as log:
        at = moment if sync is None else await after_sync(log, event, sync)
        models = await read_models_at(log, event, at)
    return Answer(models.to_json(), partial(show_read_models, models=models))
