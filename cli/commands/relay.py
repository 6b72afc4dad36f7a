"""`relay status` and `relay rewind`."""

from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli.brokers import relay_publisher, with_known_features
from cli.command import REFUSED, new_app, run
from cli.connections import Addresses, DatabaseAddress, leader_connection
from cli.errors import CommandError
from cli.options import LAST_POSITION, Json
from cli.render.answer import Answer
from cli.runfile import resolve
from cli.servers import kafka_errors, open_database
from cli.settings import Settings
from cli.time_limit import STATUS_SECONDS, within
from contracts.wording import counted
from eventstore.checkpoints import Checkpoints
from eventstore.leadership import Leadership
from eventstore.log import EventLog
from worker.relay.refusals import Refusals
from worker.relay.rewind import RelayStatus, RewindError, relay_status
from worker.relay.rewind import rewind as rewind_relay

_NOBODY = "nobody: is a worker running?"

app = new_app("The relay, which publishes the log to Kafka.")


@app.command()
def status(as_json: Json = False) -> None:
    """Show who publishes, how far, and what is stuck.

    Exit code 1 if somebody has to act, or if it cannot be read within 10 seconds.
    """
    run(report_status, as_json=as_json, leaves_at_once=True)


async def report_status(settings: Settings) -> Answer:
    """The status of the relay; exit code 1 if somebody has to act."""
    addresses = resolve(settings)
    database = DatabaseAddress(addresses.database_url)
    work = _read_status(settings, addresses)
    found = await within(STATUS_SECONDS, work, database, addresses.kafka)
    return Answer(
        found.to_json(), partial(_show, status=found), exit_code=0 if found.is_well else REFUSED
    )


async def _read_status(settings: Settings, addresses: Addresses) -> RelayStatus:
    async with open_database(settings, pool_size=2) as engine:
        with kafka_errors(addresses.kafka):
            addresses = await with_known_features(addresses)
            return await relay_status(
                EventLog(engine),
                Checkpoints(engine),
                relay_publisher(addresses),
                partial(leader_connection, *addresses.for_sessions),
                stuck_seconds=settings.stuck_seconds,
            )


@app.command()
def rewind(
    to: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LAST_POSITION,
            metavar="POSITION",
            help="Publish again the events after this position; 0 is all.",
        ),
    ] = None,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="The database was restored: continue from its own checkpoint (or --to), as a log "
            "with a new id, so that subscribers see another ce_source.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish events again, or continue after the database was restored.

    Takes the leadership from the worker that has it; that worker continues by itself afterwards.
    """
    if to is None and not restored:
        raise typer.BadParameter("use --to POSITION, or --restored")
    run(partial(set_back, to, restored=restored), as_json=as_json)


async def set_back(to: int | None, settings: Settings, *, restored: bool) -> Answer:
    """Set the relay back."""
    addresses = resolve(settings)
    async with open_database(settings, pool_size=2) as engine:
        try:
            with kafka_errors(addresses.kafka):
                addresses = await with_known_features(addresses)
                checkpoint = await rewind_relay(
                    EventLog(engine),
                    Checkpoints(engine),
                    relay_publisher(addresses),
                    Leadership(partial(leader_connection, *addresses.for_sessions)),
                    to=to,
                    restored=restored,
                    refusals=Refusals(EventLog(engine), Checkpoints(engine)),
                )
        except RewindError as error:
            raise CommandError(str(error)) from error

    def show(console: Console) -> None:
        console.print(f"The relay continues after position {checkpoint.position}.")
        if restored:
            console.print(f"The log is urn:spreaview:log:{checkpoint.log_id} from now on.")

    value = {"position": checkpoint.position, "log_id": str(checkpoint.log_id)}
    return Answer(value, show)


def _show(console: Console, status: RelayStatus) -> None:
    write = partial(console.print, soft_wrap=True)
    nobody = "nobody, until the mismatch below is mended" if status.mismatch else _NOBODY
    write(f"leader       {status.leader or nobody}")
    write(f"log          up to position {status.head}")
    write(f"published    up to position {status.published}")
    behind = counted(status.behind.events, "event")
    write(f"behind       {behind}, {status.behind.seconds:.1f} s")
    if status.mismatch:
        write(f"[red]stuck[/]        {escape(status.mismatch)}")
    if status.is_stuck and not status.mismatch:
        write("[red]stuck[/]        the leader is catching up, or its log names the reason")
    for event in status.unpublished:
        write(f"[red]not published[/] position {event.position}: {escape(event.reason)}")
