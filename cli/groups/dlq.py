"""`spreaview-sync dlq`: its arguments."""

from typing import Annotated

import typer

from cli.command import finish, quiet_settings
from cli.commands import dlq as command
from cli.options import Json
from messaging.dead_letters.fold import LetterName

dlq_app = typer.Typer(
    help="Requests that could not be read: look at them, retry or discard them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _letter(text: str) -> LetterName:
    try:
        return LetterName.parse(text)
    except ValueError as error:
        raise typer.BadParameter("not a letter such as 3/17") from error


_HELP = "As `dlq list` names it, such as 3/17."
OneLetter = Annotated[
    LetterName, typer.Argument(parser=_letter, metavar="LETTER", help=_HELP, show_default=False)
]
LettersToDiscard = Annotated[
    list[LetterName],
    typer.Argument(parser=_letter, metavar="LETTER...", help=_HELP, show_default=False),
]
SomeLetters = Annotated[
    list[LetterName] | None,
    typer.Argument(parser=_letter, metavar="LETTER...", help=_HELP, show_default=False),
]


@dlq_app.command("list")
def list_letters(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those dealt with, with what became of them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the dead letters that nothing was done about yet."""
    finish(command.list_letters(quiet_settings(), everything=everything, as_json=as_json))


@dlq_app.command("show")
def show_letter(
    letter: OneLetter,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes of the body, secrets included.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show everything about a dead letter; API IDs are masked, but with --raw."""
    if raw and as_json:
        raise typer.BadParameter("--raw prints bytes and --json prints JSON: choose one")
    finish(command.show_letter(quiet_settings(), letter, raw=raw, as_json=as_json))


@dlq_app.command()
def retry(
    letters: SomeLetters = None,
    everything: Annotated[bool, typer.Option("--all", help="Retry every open letter.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also letters that were dealt with already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish requests again as they were; they keep their place in the order.

    One that still cannot be read becomes a new dead letter.
    """
    if everything == bool(letters):
        raise typer.BadParameter("name letters, or say --all")
    if everything and again:
        raise typer.BadParameter("--again needs the names of letters")
    names = None if everything else tuple(letters or ())
    finish(command.retry(quiet_settings(), names, again=again, as_json=as_json))


@dlq_app.command()
def discard(
    letters: LettersToDiscard,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why nobody needs them.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Record that dead letters are not to be retried, and why."""
    if not reason.strip():
        raise typer.BadParameter("--reason is empty")
    finish(command.discard(quiet_settings(), tuple(letters), reason.strip(), as_json=as_json))
