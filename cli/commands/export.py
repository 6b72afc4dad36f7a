"""`export`: the log as a file."""

import sys
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from audit.transfer.export import ExportScope
from audit.transfer.export import export as export_lines
from cli.command import new_app, run
from cli.options import Json, OneEvent, output_option
from cli.output import is_standard_output, output_file
from cli.render.answer import print_json
from cli.render.progress import progress
from cli.servers import open_database
from cli.settings import Settings

app = new_app()


@app.command()
def export(
    output: Annotated[Path | None, output_option("Where to write; default: -.")] = None,
    event_id: OneEvent = None,
    without_sources: Annotated[
        bool, typer.Option("--without-sources", help="Without the documents behind the syncs.")
    ] = False,
    with_key: Annotated[
        bool,
        typer.Option(
            "--with-key",
            help="With the secret key of the fingerprints of API IDs: an import compares them as "
            "before. Without it, every API ID counts as changed once.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the log as JSON Lines, hashes included.

    Each line is a CloudEvent in its stored form, with personal data.
    """
    scope = ExportScope(only=event_id, documents=not without_sources, key=with_key)
    run(partial(write_export, scope, output, as_json=as_json), as_json=as_json)


async def write_export(
    scope: ExportScope, output: Path | None, settings: Settings, *, as_json: bool
) -> int:
    """Write an export to standard output, or to a file that is there whole or not at all."""
    async with open_database(settings) as engine:
        with progress("export") as update, output_file(output) as file:
            # Otherwise an output that fails leaves the connection to the garbage collector.
            async with aclosing(export_lines(engine, scope, update)) as lines:
                async for line in lines:
                    file.write(line)
    if is_standard_output(output):
        return 0
    if as_json:
        print_json({"output": str(output)})
    else:
        print(f"The log is in {output}.", file=sys.stderr)
    return 0
