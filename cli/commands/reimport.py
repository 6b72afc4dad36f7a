"""`reimport`: old documents, decided by today's rules."""

from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from audit.verify.reimport import reimport as decide_again
from cli.command import REFUSED, new_app, run
from cli.options import Event, Json, uuid_argument
from cli.render import past as render
from cli.render.answer import JsonArray, console
from cli.servers import open_log
from cli.settings import Settings
from contracts.wording import counted

app = new_app()


@app.command()
def reimport(
    event: Event,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Required: this command never imports anything.")
    ] = False,
    sync: Annotated[
        UUID | None,
        typer.Option(parser=uuid_argument, metavar="UUID", help="Only this sync."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide old documents by today's rules.

    Nothing is imported. Exit code 1 if an outcome would be different.
    """
    if not dry_run:
        raise typer.BadParameter("use --dry-run: this only shows what would be different")
    run(partial(report_deviations, event, sync, as_json=as_json), as_json=as_json)


async def report_deviations(
    event: UUID, sync: UUID | None, settings: Settings, *, as_json: bool
) -> int:
    """Print each run while it is decided again; 1 if one of them deviates."""
    output, array, deviating = console(), JsonArray(), 0
    async with open_log(settings) as log:
        async for each in decide_again(log, event, sync):
            if as_json:
                array.add(each.to_json())
            else:
                render.show_reimported_run(output, each)
                array.length += 1
            deviating += bool(each.deviations)
    if as_json:
        array.end()
    else:
        output.print(f"{counted(array.length, 'run')}, {deviating} of them different today.")
    return REFUSED if deviating else 0
