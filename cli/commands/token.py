"""`token`: tokens for the HTTP side."""

from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.command import new_app, run
from cli.errors import CommandError
from cli.options import Json, path_argument, uuid_argument
from cli.output import output_file
from cli.render.answer import Answer, sentence
from cli.settings import PREFIX, Settings, SettingsError
from projections.http.tokens import Scope, TokenFileError, new_token

app = new_app("Tokens for the HTTP side.")


@app.command()
def create(
    name: Annotated[str, typer.Option(metavar="NAME", help="Who uses it; shown in logs.")],
    scope: Annotated[
        list[Scope], typer.Option(help="What it allows; repeat the option for several.")
    ],
    organization: Annotated[
        list[UUID] | None,
        typer.Option(
            parser=uuid_argument,
            metavar="UUID",
            help="Only this organization; repeat the option for several. Without it: all.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            parser=path_argument,
            metavar="FILE",
            help=f"The token file, if not {PREFIX}API_TOKENS_FILE.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a token and show it once: the file keeps only its hash."""
    run(partial(_create, name, scope, organization, file), as_json=as_json)


async def _create(
    name: str,
    scopes: list[Scope],
    organizations: list[UUID] | None,
    file: Path | None,
    settings: Settings,
) -> Answer:
    path = file or settings.api_tokens_file
    if path is None:
        raise SettingsError(f"give --file, or set {PREFIX}API_TOKENS_FILE")
    try:
        token = write_token(path, name, list(dict.fromkeys(scopes)), organizations or None)
    except TokenFileError as error:
        raise CommandError(str(error)) from error
    value = {"name": name, "token": token, "file": str(path)}
    return sentence(value, f"{token}\nThis is shown once; {path} has only its hash.")


def write_token(
    path: Path, name: str, scopes: list[Scope], organizations: list[UUID] | None
) -> str:
    """Add a new token to a file, and return it. The file is replaced in one step.

    Raises:
        TokenFileError: the name is taken, or the file cannot be read.
        CommandError: the file cannot be written.
    """
    made = new_token(path, name, scopes, organizations)
    with output_file(path) as file:
        file.write(made.content)
    return made.token
