"""`source show`: the exact document behind a sync."""

from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from audit.past.moments import NotInThePastError
from audit.past.sources import SourceOfRun, source_of
from cli.command import new_app, run
from cli.options import output_option, uuid_argument
from cli.output import is_standard_output, output_file
from cli.render.answer import Answer, sentence
from cli.servers import open_log
from cli.settings import Settings

app = new_app("The documents that the syncs decided on.")


@app.command()
def show(
    sync: Annotated[
        UUID,
        typer.Argument(
            parser=uuid_argument, metavar="SYNC", help="A sync's id.", show_default=False
        ),
    ],
    output: Annotated[Path | None, output_option("Where to write; default: -.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Instead of the document, facts about it as JSON.")
    ] = False,
) -> None:
    """Print the exact document that a sync decided on, byte for byte."""
    run(partial(report_source, sync, output, as_json=as_json), as_json=as_json)


async def report_source(
    sync_id: UUID, output: Path | None, settings: Settings, *, as_json: bool
) -> Answer | int:
    """The document on standard output or in a file, or the facts about it."""
    async with open_log(settings) as log:
        source, body = await source_of(log, sync_id)
    if body is None and (output is not None or not as_json):
        raise NotInThePastError(_unavailable(source))
    if body is not None and (output is not None or not as_json):
        with output_file(output) as file:
            file.write(body)
        if is_standard_output(output):
            return 0
    text = f"{source.size_bytes} bytes, SHA-256 {source.digest}, are in {output}."
    return sentence(source.to_json(), text)


def _unavailable(source: SourceOfRun) -> str:
    document = f"The document of sync {source.sync_id}, {source.digest},"
    if source.withheld:
        return f"{document} is withheld: the organization has erased a person whom it may name."
    return f"{document} is not kept any more."
