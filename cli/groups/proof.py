"""`spreaview-sync verify`, `export`, `import` and `seals`: their arguments."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from audit.transfer.export import ExportScope
from cli.command import finish, quiet_settings
from cli.commands import export as export_command
from cli.commands import verify as command
from cli.options import Json, a_uuid

seals_app = typer.Typer(
    help="Seals of the log, which show what its chains cannot.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def verify(
    event_id: Annotated[
        UUID | None, typer.Option(parser=a_uuid, metavar="UUID", help="One SpreaView event only.")
    ] = None,
    seals: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="Seals kept elsewhere."),
    ] = None,
    seals_from_kafka: Annotated[
        bool, typer.Option("--seals-from-kafka", help="The seals on the topic, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove that the log and the read models are what was recorded. Ends with 1 if they are not."""
    finish(
        command.verify_log(
            quiet_settings(),
            only=event_id,
            seals=seals,
            from_kafka=seals_from_kafka,
            as_json=as_json,
        )
    )


def export_log(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Default: standard output.")
    ] = None,
    event_id: Annotated[
        UUID | None, typer.Option(parser=a_uuid, metavar="UUID", help="One SpreaView event only.")
    ] = None,
    without_sources: Annotated[
        bool, typer.Option("--without-sources", help="Without the documents behind the runs.")
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
    """Write the log as JSON Lines of CloudEvents, hashes and personal data included."""
    scope = ExportScope(only=event_id, documents=not without_sources, key=with_key)
    finish(export_command.export_log(quiet_settings(), scope, output, as_json=as_json))


def import_log(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Make an empty log the one that was exported, hash by hash."""
    finish(export_command.import_into(quiet_settings(), source, as_json=as_json))


@seals_app.command()
def export(
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE", dir_okay=False, help="One seal per line; what it has already, stays."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Add the newest seals to a file, to be kept where the database's owner cannot reach it."""
    finish(command.keep_seals(quiet_settings(), output, as_json=as_json))
