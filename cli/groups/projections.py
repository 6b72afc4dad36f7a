"""`spreaview-sync projections`: its arguments."""

from typing import Annotated
from uuid import UUID

import typer

from cli.commands import projections as command
from cli.options import Json, a_uuid
from cli.starting import finish, quiet_settings

projections_app = typer.Typer(
    help="The read models: how they are, and how to mend them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Events = Annotated[
    list[UUID] | None,
    typer.Argument(
        parser=a_uuid, metavar="[EVENT]...", help="SpreaView events.", show_default=False
    ),
]


@projections_app.command()
def status(as_json: Json = False) -> None:
    """Show what lags, has stopped, or is ahead of the log. Ends with 1 if somebody has to act."""
    finish(command.status(quiet_settings(), as_json=as_json))


@projections_app.command()
def retry(
    events: Events = None,
    every: Annotated[bool, typer.Option("--all", help="All that have stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Let stopped streams go on. Ends with 1 if one of them stops again."""
    if bool(events) == every:
        raise typer.BadParameter("name SpreaView events, or say --all")
    finish(command.retry(quiet_settings(), events or None, as_json=as_json))


@projections_app.command()
def repair(
    events: Events = None,
    ahead: Annotated[
        bool, typer.Option("--ahead", help="All of which more is applied than the log has.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the rows of SpreaView events anew from the log, each in one transaction."""
    if bool(events) == ahead:
        raise typer.BadParameter("name SpreaView events, or say --ahead")
    finish(command.repair_streams(quiet_settings(), events or None, as_json=as_json))
