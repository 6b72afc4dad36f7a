"""`import`: an exported log into an empty database."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from audit.transfer.import_log import ImportRefusedError
from audit.transfer.import_log import import_log as load
from cli.command import new_app, run
from cli.errors import CommandError
from cli.options import Json
from cli.render.answer import Answer
from cli.servers import open_database
from cli.settings import Settings
from contracts.wording import counted
from eventstore.restored import CONFIRM_COMMAND

app = new_app()


@app.command("import")
def import_log(
    source: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, metavar="FILE", help="What `export` wrote, whole."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Load an exported log into an empty database.

    The log is the same afterwards, hash by hash, or nothing has changed.
    """
    run(partial(load_export, source), as_json=as_json)


async def load_export(source: Path, settings: Settings) -> Answer:
    """Import an export. If it is refused, nothing has changed."""
    async with open_database(settings) as engine:
        try:
            with source.open("rb") as file:
                done = await load(engine, file)
        except ImportRefusedError as error:
            raise CommandError(f"{source} was not imported: {error}") from error

    def show(_: Console) -> None:
        print(
            f"The log is {done.log_id}: {counted(done.events, 'event')}, "
            f"{counted(done.documents, 'document')}."
        )
        print(f"Persons may have been erased since the export. First run: {CONFIRM_COMMAND}")
        print("A projector builds the read models; a relay publishes all of it to an empty Kafka.")

    return Answer(done.to_json(), show)
