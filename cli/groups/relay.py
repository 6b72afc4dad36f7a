"""`relay status` and `relay rewind`."""

from typing import Annotated

import typer

from cli.command import finish, quiet_settings
from cli.commands import relay
from cli.options import LAST_POSITION, Json

relay_app = typer.Typer(
    help="The relay, which publishes the log to Kafka.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@relay_app.command("status")
def status_command(as_json: Json = False) -> None:
    """Show who publishes, how far, and what stands still. Ends with 1 if somebody has to act."""
    finish(relay.status(quiet_settings(), as_json=as_json))


@relay_app.command("rewind")
def rewind_command(
    to: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LAST_POSITION,
            metavar="POSITION",
            help="Publish what lies beyond it; 0 is all.",
        ),
    ] = None,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="The database was restored: go on from its own checkpoint (or --to), as a log "
            "with a new id, so that subscribers see another ce_source.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish events again, or go on after the database was restored.

    Takes the leadership from the worker that has it; a worker goes on by itself afterwards.
    """
    if to is None and not restored:
        raise typer.BadParameter("say --to POSITION, or --restored")
    finish(relay.rewind(quiet_settings(), to=to, restored=restored, as_json=as_json))
