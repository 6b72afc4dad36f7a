"""`demo`: one sync on the sandbox, from the request to the read models, for a person to watch."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace
from rich.console import Console

from cli.command import REFUSED, new_app, run
from cli.connections import Addresses, database
from cli.data_folder import usable
from cli.options import Json, OptionalFrom, OptionalTimeZone, OptionalTo, new_request
from cli.render import sync as render
from cli.render.answer import print_json
from cli.sandbox.conference import conference_window
from cli.sandbox.stack import for_own_servers, sandbox
from cli.services import Role, running
from cli.settings import SESSIONIZE_API, Settings
from cli.waiting import run_ended
from contracts.codec import cloudevent_type
from contracts.events import TERMINAL_TYPES
from contracts.messages import SyncRequested, Window, encode_request
from contracts.topics import IMPORT_EVENTS
from messaging.closing import close_consumer
from messaging.cloudevents import CloudEvent, decode
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from projections.queries import Queries

ORGANIZATION = uuid5(NAMESPACE_URL, "spreaview:demo:organization")
EVENT = uuid5(NAMESPACE_URL, "spreaview:demo:event")

_TERMINAL = frozenset(cloudevent_type(name) for name in TERMINAL_TYPES)
_OUTCOME_SECONDS = 60.0

DEMO_API_ID = "demo2026"

_NEXT_STEPS = """\
  {up}
      everything and a page to watch it (http=…), until Ctrl-C; then in another terminal:
  .venv/bin/spreaview-sync request --wait \\
      --organization-id {organization} \\
      --event-id {event} \\
      --api-id {api_id} --from {starts_on} --to {ends_on} --time-zone {zone}
  .venv/bin/spreaview-sync --help    the other commands
"""


class Schedule(NamedTuple):
    """What to import."""

    api_id: str = DEMO_API_ID
    window: Window = conference_window()


app = new_app()


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
    """Import a conference on a local sandbox and show what happened.

    Without --api-id the conference is a synthetic one, and nothing leaves this machine.
    """
    schedule = Schedule()
    if api_id is not None:
        if from_ is None or to is None or time_zone is None:
            raise typer.BadParameter("--api-id needs --from, --to and --time-zone")
        schedule = Schedule(api_id, Window(starts_on=from_, ends_on=to, time_zone=time_zone))
    run(partial(import_once, schedule, as_json=as_json), as_json=as_json)


async def import_once(schedule: Schedule, settings: Settings, *, as_json: bool) -> int:
    """Import a schedule on a sandbox of its own; 0 if the sync completed."""
    console = Console(stderr=as_json, highlight=False, emoji=False)
    with usable(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="demo-", dir=settings.data_dir)
    with folder as data_dir:
        local = for_own_servers(
            settings.model_copy(
                update={
                    "data_dir": Path(data_dir),
                    "database_url": None,
                    "kafka_bootstrap_servers": None,
                    "postgres_port": None,  # an `up` may be running on its ports
                    "kafka_port": None,
                    "health_port": None,
                    "sessionize_base_url": _source(settings, schedule),
                    "kafka_session_seconds": 1.0,  # the shortest the local broker allows
                }
            )
        )
        console.print("Starting PostgreSQL and a Kafka broker …")
        async with sandbox(local) as addresses:
            console.print("Starting the worker and the projector …")
            async with running(Role.WORKER | Role.PROJECTOR, local, addresses):
                return await _sync(console, addresses, local, schedule, as_json=as_json)


def next_steps(request: SyncRequested, sessionize_base_url: str | None) -> str:
    """The commands with which to continue; None stands for the stand-in for Sessionize."""
    return _NEXT_STEPS.format(
        up=_up(sessionize_base_url),
        organization=ORGANIZATION,
        event=EVENT,
        api_id=request.sessionize_api_id,
        starts_on=request.window.starts_on,
        ends_on=request.window.ends_on,
        zone=request.window.time_zone,
    )


def _up(sessionize_base_url: str | None) -> str:
    """The command that starts everything, importing from where the demo has imported."""
    command = ".venv/bin/spreaview-sync up"
    if sessionize_base_url is None:
        return command
    return f"SPREAVIEW_SESSIONIZE_BASE_URL={sessionize_base_url} {command}"


def _source(settings: Settings, schedule: Schedule) -> str | None:
    """Where the schedule comes from; None is the local double of Sessionize."""
    if schedule.api_id == DEMO_API_ID:
        return None
    return settings.sessionize_base_url or SESSIONIZE_API


async def _sync(
    console: Console, addresses: Addresses, settings: Settings, schedule: Schedule, *, as_json: bool
) -> int:
    request = replace(
        new_request(ORGANIZATION, EVENT, schedule.api_id, schedule.window),
        requested_by="the demo",
    )
    console.print("\n[bold]The request[/], as SpreaView publishes it on Kafka")
    console.print_json(encode_request(request).decode())
    async with producing(addresses.kafka) as producer:
        await publish_request(producer, request)
    console.print("\n[bold]The events[/], as dashboards receive them")
    async with (
        asyncio.timeout(_OUTCOME_SECONDS),
        _events(addresses.kafka, settings.kafka_partitions) as events,
    ):
        async for event in events:
            line = render.event_line(event.position, event.type, event.data)
            console.print(line, no_wrap=True, overflow="ellipsis")
            if event.type in _TERMINAL:
                break
    async with database(addresses.database_url, pool_size=1) as engine:
        return await _report(
            console, Queries(engine), request, settings.sessionize_base_url, as_json=as_json
        )


async def _report(
    console: Console,
    queries: Queries,
    request: SyncRequested,
    sessionize_base_url: str | None,
    *,
    as_json: bool,
) -> int:
    row = await run_ended(queries, request.request_id, _OUTCOME_SECONDS)
    skipped = await queries.skipped_sessions(request.spreaview_event_id)
    sessions = await queries.timetable(request.spreaview_event_id)
    console.print("\n[bold]The read models[/], as SpreaView queries them")
    render.show_timetable(console, sessions, request.window.time_zone)
    console.print()
    render.show_outcome(console, row, skipped)
    console.print("\n[bold]Next steps[/]")
    console.print(next_steps(request, sessionize_base_url), soft_wrap=True, markup=False)
    if as_json:
        value = {"sync_run": row, "skipped_sessions": skipped, "sessions": sessions}
        print_json(value)
    return 0 if row["status"] == "completed" else REFUSED


@asynccontextmanager
async def _events(
    kafka: KafkaConnection, partitions: int
) -> AsyncIterator[AsyncIterator[CloudEvent]]:
    """Every import event from the beginning of the topic, without a consumer group."""
    consumer = AIOKafkaConsumer(**kafka.arguments(), auto_offset_reset="earliest")
    consumer.assign([TopicPartition(IMPORT_EVENTS, number) for number in range(partitions)])
    await consumer.start()
    try:
        yield _decoded(consumer)
    finally:
        await close_consumer(consumer)


async def _decoded(consumer: AIOKafkaConsumer) -> AsyncIterator[CloudEvent]:
    async for record in consumer:
        yield decode(record.value or b"", record.headers)
