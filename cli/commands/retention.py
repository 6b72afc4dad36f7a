"""`retention`: delete old data by the settings."""

from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.command import REFUSED, new_app, run
from cli.options import Json
from cli.render.answer import Answer
from cli.retention.retain import Retained, Retention
from cli.runfile import resolve
from cli.servers import open_for_sessions
from cli.settings import Settings

app = new_app()


@app.command()
def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete old data by the settings, and show what is kept.

    Each kind names the reason. The log is never deleted. Safe to repeat, and to run while services
    work. Exit code 1 if a kind could not be done.
    """
    run(partial(delete_old, dry_run=dry_run), as_json=as_json)


async def delete_old(settings: Settings, *, dry_run: bool) -> Answer:
    """Go through all kinds of data."""
    remedy = "check SPREAVIEW_DATABASE_URL and the server, then run this again."
    async with open_for_sessions(settings, 2, remedy=remedy) as engine:
        kinds = await Retention(engine, resolve(settings), settings, is_dry=dry_run).run()
    value = {"dry_run": dry_run, "kinds": [kind.to_json() for kind in kinds]}
    is_done = all(kind.problem is None for kind in kinds)
    show = partial(_show, kinds=kinds, dry_run=dry_run)
    return Answer(value, show, exit_code=0 if is_done else REFUSED)


def _show(console: Console, kinds: list[Retained], *, dry_run: bool) -> None:
    table = Table(box=None)
    table.add_column("kind")
    table.add_column("would go" if dry_run else "deleted", justify="right")
    table.add_column("kept", justify="right")
    table.add_column("why it is kept")
    for kind in kinds:
        kept = "" if kind.kept is None else f"{kind.kept:,}"
        table.add_row(kind.kind, f"{kind.gone:,}", kept, kind.problem or kind.why)
    console.print(table)
