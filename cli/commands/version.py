"""`version`."""

import json
from importlib.metadata import version as version_of
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Print the version."""
    found = version_of("spreaview-sync")
    print(json.dumps({"version": found}) if as_json else found)
