"""`spreaview-sync`: the command line."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer
from msgspec.structs import replace

from audit.transfer.replay import ReplaySelection
from cli.command import finish, quiet_settings, settings
from cli.commands import demo as demo_command
from cli.commands import erase_speaker as erase_command
from cli.commands import migrate as migrate_command
from cli.commands import plan as plan_command
from cli.commands import replay as replay_command
from cli.commands import request as request_command
from cli.commands import up as up_command
from cli.commands import worker as serve_command
from cli.groups.dlq import dlq_app
from cli.groups.past import past_app
from cli.groups.projections import projections_app
from cli.groups.proof import export_log, import_log, seals_app, verify
from cli.groups.relay import relay_app
from cli.logs import configure_logging
from cli.options import (
    LAST_POSITION,
    AllowRemovals,
    ApiId,
    EventId,
    Force,
    From,
    Json,
    OptionalFrom,
    OptionalTimeZone,
    OptionalTo,
    OrganizationId,
    RequestedBy,
    RequestId,
    TimeZone,
    To,
    a_name,
    a_person,
    a_uuid,
    now_utc,
)
from cli.sandbox.errors import SandboxError
from cli.services import VERSION, Role
from cli.settings import SettingsError
from contracts.messages import SyncRequested, Window
from contracts.topics import TOPICS

logger = logging.getLogger(__name__)

USAGE = 2

app = typer.Typer(
    name="spreaview-sync",
    help="Imports a conference schedule from Sessionize into SpreaView, as a history of events.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(relay_app, name="relay")
app.add_typer(dlq_app, name="dlq")
app.add_typer(projections_app, name="projections")
app.add_typer(past_app)
app.add_typer(seals_app, name="seals")
app.command()(verify)
app.command("export")(export_log)
app.command("import")(import_log)


def main() -> None:
    """Run the command line; wrong settings and a sandbox that fails end with 2 and a sentence.

    An unforeseen fault ends with 1 and is logged: Python would print the values in its message.
    """
    configure_logging("WARNING", "console")  # until the settings are read
    try:
        app()
    except (SettingsError, SandboxError) as error:
        print(f"spreaview-sync: {error}", file=sys.stderr)
        sys.exit(USAGE)
    except Exception:
        logger.critical("ended by an unforeseen fault", exc_info=True)
        sys.exit(1)


def _sync_request(
    organization_id: UUID, event_id: UUID, api_id: str, window: Window
) -> SyncRequested:
    """A new request, made now."""
    return SyncRequested(
        request_id=uuid4(),
        organization_id=organization_id,
        spreaview_event_id=event_id,
        sessionize_api_id=api_id,
        window=window,
        requested_at=now_utc(),
    )


@app.command()
def demo(
    api_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Import this from Sessionize, with the options below."),
    ] = None,
    from_: OptionalFrom = None,
    to: OptionalTo = None,
    time_zone: OptionalTimeZone = None,
    as_json: Json = False,
) -> None:
    """Import a conference on a local sandbox, show what happened, and exit.

    Without --api-id it is a synthetic one, and nothing leaves this machine.
    """
    wanted = demo_command.Wanted()
    if api_id is not None:
        if from_ is None or to is None or time_zone is None:
            raise typer.BadParameter("--api-id needs --from, --to and --time-zone")
        window = Window(starts_on=from_, ends_on=to, time_zone=time_zone)
        wanted = demo_command.Wanted(api_id, window)
    finish(demo_command.demo(quiet_settings(), wanted, as_json=as_json))


@app.command()
def up(as_json: Json = False) -> None:
    """Run everything until Ctrl-C; servers without an address in the settings run locally."""
    finish(up_command.up(settings(json_logs=as_json), as_json=as_json))


@app.command()
def worker(as_json: Json = False) -> None:
    """Run a worker: it takes sync requests and relays the log to Kafka."""
    finish(serve_command.serve(Role.WORKER, settings(json_logs=as_json)))


@app.command()
def projector(as_json: Json = False) -> None:
    """Run a projector: it builds the read models from the log."""
    finish(serve_command.serve(Role.PROJECTOR, settings(json_logs=as_json)))


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database to this version: the log's tables and the read models."""
    finish(migrate_command.migrate_database(quiet_settings(), as_json=as_json))


@app.command()
def request(
    organization_id: OrganizationId,
    event_id: EventId,
    api_id: ApiId,
    from_: From,
    to: To,
    time_zone: TimeZone,
    request_id: RequestId = None,
    requested_by: RequestedBy = None,
    force: Force = False,
    allow_removals: AllowRemovals = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome, report it.")] = False,
    timings: Annotated[
        bool, typer.Option("--timings", help="With --wait: how long it took.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="With --wait: seconds to wait at most.")] = 300.0,
    as_json: Json = False,
) -> None:
    """Request a sync. Ends with 0 if it completed, 1 if it failed or was superseded."""
    if timings and not wait:
        raise typer.BadParameter("--timings needs --wait")
    window = Window(starts_on=from_, ends_on=to, time_zone=time_zone)
    message = replace(
        _sync_request(organization_id, event_id, api_id, window),
        request_id=request_id or uuid4(),
        requested_by=requested_by,
        force=force,
        allow_removals=allow_removals,
    )
    report = request_command.Report(wait=wait, timings=timings, timeout=timeout, as_json=as_json)
    finish(request_command.request(quiet_settings(), message, report))


@app.command()
def plan(
    organization_id: OrganizationId,
    event_id: EventId,
    api_id: ApiId,
    from_: From,
    to: To,
    time_zone: TimeZone,
    force: Force = False,
    allow_removals: AllowRemovals = None,
    as_json: Json = False,
) -> None:
    """Show what a sync would do now, and change nothing. Ends with 1 if it would fail."""
    window = Window(starts_on=from_, ends_on=to, time_zone=time_zone)
    message = replace(
        _sync_request(organization_id, event_id, api_id, window),
        force=force,
        allow_removals=allow_removals,
    )
    finish(plan_command.plan_sync(quiet_settings(), message, as_json=as_json))


@app.command("erase-speaker")
def erase_speaker(
    organization_id: OrganizationId,
    speaker: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The speaker's id in Sessionize, or in SpreaView."),
    ] = None,
    requested_by: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Instead of a speaker: who asked for syncs, as they did."
        ),
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="End an erasure.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a person who asked for it: in the log, its documents and all read models."""
    person = a_person(organization_id, speaker, requested_by)
    if lift:
        finish(erase_command.lift_erasure(quiet_settings(), person, as_json=as_json))
    if not yes:
        typer.confirm(f"Forget {person} for good?", abort=True, err=True)
    finish(erase_command.erase_person(quiet_settings(), person, as_json=as_json))


@app.command()
def replay(
    name: Annotated[
        str,
        typer.Option(
            parser=a_name,
            help="Marks the events, and says which replay to go on with.",
            metavar="NAME",
        ),
    ],
    to_topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="To Kafka.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="To a file; default: standard output."),
    ] = None,
    after: Annotated[
        int, typer.Option(min=0, max=LAST_POSITION, metavar="POSITION", help="Beyond it.")
    ] = 0,
    until: Annotated[
        int | None, typer.Option(min=0, metavar="POSITION", help="Up to it; default: the head.")
    ] = None,
    event_id: Annotated[
        UUID | None, typer.Option(parser=a_uuid, metavar="UUID", help="One SpreaView event only.")
    ] = None,
    pace: Annotated[
        float | None,
        typer.Option(min=0.001, help="So many times as fast as it was; default: full speed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell the log, or a part of it, again: in order, marked as a replay, resumable."""
    if to_topic is not None and output is not None:
        raise typer.BadParameter("say --to-topic or --output, not both")
    if to_topic in TOPICS:
        raise typer.BadParameter(
            "what is on this topic is taken for news; name a topic of your own",
            param_hint="'--to-topic'",
        )
    wanted = replay_command.Wanted(
        name, ReplaySelection(after, until, event_id), to_topic, output, pace
    )
    finish(replay_command.replay_log(quiet_settings(), wanted, as_json=as_json))


@app.command("version")
def show_version(as_json: Json = False) -> None:
    """Print the version."""
    print(json.dumps({"version": VERSION}) if as_json else VERSION)
