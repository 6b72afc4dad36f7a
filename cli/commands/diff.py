"""`diff`: what changed between two moments."""

from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from audit.as_of.diff import diff as compare
from audit.as_of.document_shape import shape_of
from audit.as_of.read_models import read_models_at
from audit.past.moments import parse_moment
from cli.command import new_app, run
from cli.options import Event, Json
from cli.render import past as render
from cli.render.answer import Answer
from cli.servers import open_log
from cli.settings import Settings

app = new_app()

_MOMENT = "A sync's id, a time (ISO 8601, UTC without an offset), or a position such as @1234."


@app.command()
def diff(
    event: Event,
    before: Annotated[str, typer.Argument(metavar="A", help=_MOMENT, show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help=_MOMENT, show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what changed between two moments.

    With --json also as JSON Patch (RFC 6902).
    """
    run(partial(report_difference, event, before, after), as_json=as_json)


async def report_difference(event: UUID, before: str, after: str, settings: Settings) -> Answer:
    """The difference of the read models at two moments of one event."""
    async with open_log(settings) as log:
        models = [
            await read_models_at(log, event, await parse_moment(log, event, text))
            for text in (before, after)
        ]
    old, new = map(shape_of, models)
    found = compare(old, new)
    time_zone = models[1].time_zone or models[0].time_zone
    words = render.Words(render.names_of(old, new), time_zone)
    return Answer(found.to_json(), partial(render.show_differences, diff=found, words=words))
