"""`spreaview-sync projections`: its arguments."""

from typing import Annotated
from uuid import UUID

import typer

from cli.command import finish, quiet_settings
from cli.commands import generations as generations_command
from cli.commands import projections as command
from cli.options import Json, a_uuid

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


AcceptStopped = Annotated[
    bool,
    typer.Option(
        "--accept-stopped",
        help="Switch even if streams have stopped that go on in the live generation.",
    ),
]


@projections_app.command()
def rebuild(
    keep: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Afterwards drop all but the N newest generations that were live before.",
            show_default="all are kept",
        ),
    ] = None,
    accept_stopped: AcceptStopped = False,
    as_json: Json = False,
) -> None:
    """Fill a new generation from the log while the old one serves, compare them, and switch.

    Ended at any moment, it goes on where it was when it is run again.
    """
    finish(
        generations_command.run_rebuild(
            quiet_settings(), keep=keep, accept_stopped=accept_stopped, as_json=as_json
        )
    )


@projections_app.command()
def rollback(accept_stopped: AcceptStopped = False, as_json: Json = False) -> None:
    """Catch the generation that was live before up with the log, and make it live again."""
    finish(
        generations_command.run_rollback(
            quiet_settings(), accept_stopped=accept_stopped, as_json=as_json
        )
    )


@projections_app.command()
def generations(as_json: Json = False) -> None:
    """List the generations of the read models."""
    finish(generations_command.list_generations(quiet_settings(), as_json=as_json))


@projections_app.command()
def drop(
    number: Annotated[int | None, typer.Argument(help="Of the generation.")] = None,
    all_old: Annotated[
        bool, typer.Option("--all-old", help="All that are filled and not live.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Drop generations with their rows. The live one is never dropped."""
    if (number is None) != all_old:
        raise typer.BadParameter("name a generation, or say --all-old")
    finish(generations_command.run_drop(quiet_settings(), number, as_json=as_json))
