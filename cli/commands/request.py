"""`request`: publish a `SyncRequested` and, with --wait, report its outcome."""

import sys
import time
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple
from uuid import uuid4

import typer
from msgspec.structs import replace
from rich.console import Console

from cli.command import REFUSED, new_app, run
from cli.connections import Addresses, DatabaseAddress
from cli.errors import CommandError
from cli.options import (
    AllowRemovals,
    ApiId,
    EventId,
    Force,
    From,
    Json,
    OrganizationId,
    RequestedBy,
    RequestId,
    TimeZone,
    To,
    new_request,
    seconds_argument,
)
from cli.render import sync as render
from cli.render.answer import Answer, sentence
from cli.runfile import resolve, resolve_replica
from cli.servers import database_clock, kafka_errors, open_database
from cli.settings import Settings
from cli.telemetry.command_trace import Sending, command_trace
from cli.time_limit import REMEDY, STATUS_SECONDS, why_late, within
from cli.waiting import StillRunningError, UnansweredError, run_ended
from contracts.messages import SyncRequested, Window
from contracts.topics import SYNC_REQUESTS
from eventstore.connection import READ_VARIABLE
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from projections.queries import JsonRow, Queries
from worker.sync.first_request import find_first_request

_MORE_SECONDS = STATUS_SECONDS
"""Time limit, in addition to the wait, to publish the request and to report the outcome."""

app = new_app()


class Waiting(NamedTuple):
    """How to wait for the outcome."""

    seconds: float
    """At most."""
    timings: bool
    """Whether to report how long each step took."""


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
        bool, typer.Option("--timings", help="With --wait: report how long it took.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            parser=seconds_argument,
            metavar="SECONDS",
            help="With --wait: how long to wait at most.",
        ),
    ] = 300.0,
    as_json: Json = False,
) -> None:
    """Request a sync; with --wait, report its outcome.

    Exit code 0 if the sync completed, 1 if it failed or was superseded. With --wait a repeated
    --request-id is compared with the first request: exit code 1 if they differ.
    """
    if timings and not wait:
        raise typer.BadParameter("--timings needs --wait")
    window = Window(starts_on=from_, ends_on=to, time_zone=time_zone)
    message = replace(
        new_request(organization_id, event_id, api_id, window),
        request_id=request_id or uuid4(),
        requested_by=requested_by,
        force=force,
        allow_removals=allow_removals,
    )
    work = partial(publish, message, Waiting(timeout, timings) if wait else None)
    run(work, as_json=as_json, leaves_at_once=wait)


async def publish(message: SyncRequested, waiting: Waiting | None, settings: Settings) -> Answer:
    """Publish a request; exit code 0 if it completed, or was published without waiting."""
    about = {
        "spreaview.sync_id": str(message.request_id),
        "spreaview.event_id": str(message.spreaview_event_id),
    }
    async with command_trace("request", about) as sending:
        addresses = resolve(settings)
        if waiting is None:
            await _publish(settings, addresses.kafka, message, sending)
            value = {"request_id": str(message.request_id), "published": True}
            return sentence(value, f"requested sync {message.request_id}")
        print(f"sync {message.request_id}", file=sys.stderr, flush=True)
        return await within(
            waiting.seconds + _MORE_SECONDS,
            _publish_and_wait(message, waiting, settings, addresses, sending),
            DatabaseAddress(addresses.database_url),
            addresses.kafka,
        )


async def _publish_and_wait(
    message: SyncRequested,
    waiting: Waiting,
    settings: Settings,
    addresses: Addresses,
    sending: Sending,
) -> Answer:
    began = time.monotonic()
    async with open_database(settings) as engine:
        log = EventLog(engine)
        is_done = await _is_done(log, message, "nothing was requested")
        if not is_done:
            await _publish(settings, addresses.kafka, message, sending)
        try:
            async with open_database(settings, at=resolve_replica(settings)) as replica:
                queries, event_id = Queries(replica), message.spreaview_event_id
                row = await run_ended(
                    queries, message.request_id, waiting.seconds, event_id=event_id
                )
                skipped = await queries.skipped_sessions(event_id)
        except UnansweredError as error:
            reason = await why_late(resolve_replica(settings))
            raise CommandError(
                f"the outcome of sync {message.request_id} could not be read within "
                f"{waiting.seconds:g} seconds: {reason}. The sync continues without this command\n"
                f"{REMEDY}"
            ) from error
        except StillRunningError as error:
            if await _is_done(log, message, "this request was refused"):
                raise CommandError(_invisible(message, waiting, settings)) from error
            raise CommandError(str(error)) from error
        await _is_done(log, message, "this request was refused")
    waited = time.monotonic() - began
    timings = _timings(row, message.requested_at, waited) if waiting.timings else {}
    value: dict[str, object] = {"sync_run": row, "skipped_sessions": skipped}

    def show(console: Console) -> None:
        if is_done:
            console.print(f"This sync was already done at {row['finished_at']}.")
        render.show_outcome(console, row, skipped)
        for name, seconds in timings.items():
            console.print(f"{name:<28} {seconds:8.3f} s")

    exit_code = 0 if row["status"] == "completed" else REFUSED
    value |= {"timings": timings} if timings else {}
    value |= {"already_done_at": row["finished_at"]} if is_done else {}
    return Answer(value, show, exit_code)


async def _publish(
    settings: Settings, kafka: KafkaConnection, message: SyncRequested, sending: Sending
) -> None:
    with kafka_errors(kafka, "the request was not published"):
        async with producing(kafka, database_clock(settings)) as producer:
            with sending(SYNC_REQUESTS) as traceparent:
                await publish_request(producer, message, traceparent=traceparent)


async def _is_done(log: EventLog, message: SyncRequested, consequence: str) -> bool:
    """Whether the sync with this id is over. Raises `CommandError` if it is of another request."""
    first = await find_first_request(log, message)
    if first is None:
        return False
    if "spreaview_event_id" in first.differences:
        reason = f"belongs to another SpreaView event, {first.event.spreaview_event_id}"
    elif first.differences:
        reason = f"was requested with other content ({', '.join(first.differences)})"
    else:
        return first.is_over
    raise CommandError(
        f"sync {message.request_id} {reason}: {consequence}.\n"
        "Remedy: choose another --request-id, or leave it out."
    )


def _invisible(message: SyncRequested, waiting: Waiting, settings: Settings) -> str:
    """Explain why the read models do not show an outcome that is in the log."""
    cause = "is a projector running?"
    if settings.read_database_url is not None:
        cause = f"does the replica that {READ_VARIABLE} names lag, and is a projector running?"
    return (
        f"sync {message.request_id} has ended, but its outcome is not visible after "
        f"{waiting.seconds:g} seconds: {cause} It will appear in spreaview.sync_runs"
    )


def _timings(run: JsonRow, requested_at: datetime, waited: float) -> dict[str, float]:
    """Seconds from the request to each step, by the clocks of this machine and the database."""
    steps = {"started": run["started_at"], "finished": run["finished_at"]}
    return {
        name: round((datetime.fromisoformat(moment) - requested_at).total_seconds(), 3)
        for name, moment in steps.items()
        if isinstance(moment, str)
    } | {"visible": round(waited, 3)}
