"""`seals export`: the newest seals, added to a file."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from audit.transfer.seal_files import add_seals, published_seals
from cli.command import new_app, run
from cli.errors import CommandError
from cli.options import Json
from cli.render.answer import Answer, sentence
from cli.runfile import resolve_kafka
from cli.servers import kafka_errors
from cli.settings import Settings

app = new_app("Seals of the log, which show what its chains cannot.")


@app.command()
def export(
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE", dir_okay=False, help="One seal per line; the lines in it stay."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Add the newest seals to a file.

    Keep it where the owner of the database cannot reach it.
    """
    run(partial(keep_seals, output), as_json=as_json)


async def keep_seals(output: Path, settings: Settings) -> Answer:
    """Add the topic's seals to a file; the file must hold seals of this log, or nothing."""
    kafka = resolve_kafka(settings)
    try:
        with kafka_errors(kafka, "the seals cannot be read"):
            number = add_seals(output, await published_seals(kafka))
    except ValueError as error:
        raise CommandError(f"the seals cannot be kept: {error}") from error
    return sentence({"added": number}, f"{number} seals were added to {output}")
