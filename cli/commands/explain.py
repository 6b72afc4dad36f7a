"""`explain`: why a session, room or speaker is or is not in the schedule."""

from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from audit.explain.explain import explain as explain_entity
from audit.past.entities import EntityQuery
from cli.command import REFUSED, new_app, run
from cli.options import Event, Json, RoomOption, SpeakerOption, query_of
from cli.render import past as render
from cli.render.answer import Answer
from cli.servers import open_log
from cli.settings import Settings

app = new_app()


@app.command()
def explain(
    event: Event,
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION]",
            help="A session: its Sessionize id, code, our id, or a unique part of its title.",
            show_default=False,
        ),
    ] = None,
    room: RoomOption = None,
    speaker: SpeakerOption = None,
    as_json: Json = False,
) -> None:
    """Explain why a session, room or speaker is missing.

    If it is there, the answer names the rule that keeps it. Exit code 1 if nothing of that name is
    known.
    """
    query = query_of(session, room, speaker)
    if query.kind is None or not query.text:
        raise typer.BadParameter("name a session, or use --room or --speaker")
    run(partial(report_explanation, event, query), as_json=as_json)


async def report_explanation(event: UUID, query: EntityQuery, settings: Settings) -> Answer:
    """The explanation of one entity; exit code 1 if it was never seen."""
    async with open_log(settings) as log:
        found = await explain_entity(log, event, query.kind or "session", query.text)
    exit_code = REFUSED if found.rule in ("never_seen", "document_not_kept") else 0
    return Answer(found.to_json(), partial(render.show_explanation, explanation=found), exit_code)
