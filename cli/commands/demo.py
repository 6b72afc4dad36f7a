"""`demo`: the main job on the sandbox, once, for a person to watch."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from cli.connections import Addresses, database
from cli.render import sync as show
from cli.sandbox.conference import conference_window
from cli.sandbox.stack import sandbox
from cli.services import Role, running
from cli.settings import SESSIONIZE_API, Settings
from cli.waiting import run_ended
from contracts.codec import cloudevent_type
from contracts.events import TERMINAL_TYPES
from contracts.messages import SyncRequested, Window, encode_request
from contracts.topics import IMPORT_EVENTS
from messaging.cloudevents import CloudEvent, decode
from messaging.requests import producing, publish_request
from projections.queries import Queries

ORGANIZATION = uuid5(NAMESPACE_URL, "spreaview:demo:organization")
EVENT = uuid5(NAMESPACE_URL, "spreaview:demo:event")

_TERMINAL = frozenset(cloudevent_type(name) for name in TERMINAL_TYPES)
_OUTCOME_SECONDS = 60.0

DEMO_API_ID = "demo2026"

_GO_ON = """
[bold]How to go on[/]
  .venv/bin/spreaview-sync up        everything, until Ctrl-C; then in another terminal:
  .venv/bin/spreaview-sync request --wait \\
      --organization-id {organization} \\
      --event-id {event} \\
      --api-id {api_id} --from {starts_on} --to {ends_on} --time-zone {zone}
  .venv/bin/spreaview-sync --help    the other commands
"""


class Wanted(NamedTuple):
    """What to import."""

    api_id: str = DEMO_API_ID
    window: Window = conference_window()


async def demo(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Import a conference; 0 if the sync completed. Another than the synthetic one is fetched."""
    console = Console(stderr=as_json, highlight=False, emoji=False)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="demo-", dir=settings.data_dir) as data_dir:
        local = settings.model_copy(
            update={
                "data_dir": Path(data_dir),
                "database_url": None,
                "kafka_bootstrap_servers": None,
                "sessionize_base_url": _source(settings, wanted),
                "kafka_session_seconds": 1.0,  # the local broker's groups take so long to form
            }
        )
        console.print("Starting PostgreSQL and a Kafka broker …")
        async with sandbox(local) as addresses:
            console.print("Starting the worker and the projector …")
            async with running(Role.WORKER | Role.PROJECTOR, local, addresses):
                return await _sync(console, addresses, local, wanted, as_json=as_json)


def _source(settings: Settings, wanted: Wanted) -> str | None:
    """Where the schedule comes from: None is the double."""
    if wanted.api_id == DEMO_API_ID:
        return None
    return settings.sessionize_base_url or SESSIONIZE_API


async def _sync(
    console: Console, addresses: Addresses, settings: Settings, wanted: Wanted, *, as_json: bool
) -> int:
    request = SyncRequested(
        request_id=uuid4(),
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        sessionize_api_id=wanted.api_id,
        window=wanted.window,
        requested_at=datetime.now(UTC),
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
            line = show.event_line(event.position, event.type, event.data)
            console.print(line, no_wrap=True, overflow="ellipsis")
            if event.type in _TERMINAL:
                break
    async with database(addresses.database_url, pool_size=1) as engine:
        return await _report(console, Queries(engine), request, as_json=as_json)


async def _report(
    console: Console, queries: Queries, request: SyncRequested, *, as_json: bool
) -> int:
    run = await run_ended(queries, request.request_id, _OUTCOME_SECONDS)
    skipped = await queries.skipped_sessions(request.spreaview_event_id)
    sessions = await queries.timetable(request.spreaview_event_id)
    console.print("\n[bold]The read models[/], as SpreaView queries them")
    show.timetable(console, sessions, request.window.time_zone)
    console.print()
    show.outcome(console, run, skipped)
    console.print(
        _GO_ON.format(
            organization=ORGANIZATION,
            event=EVENT,
            api_id=request.sessionize_api_id,
            starts_on=request.window.starts_on,
            ends_on=request.window.ends_on,
            zone=request.window.time_zone,
        ),
        soft_wrap=True,
    )
    if as_json:
        told = {"sync_run": run, "skipped_sessions": skipped, "sessions": sessions}
        print(json.dumps(told, ensure_ascii=False))
    return 0 if run["status"] == "completed" else 1


@asynccontextmanager
async def _events(kafka: str, partitions: int) -> AsyncIterator[AsyncIterator[CloudEvent]]:
    """Every import event from the beginning of the topic, without a consumer group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(IMPORT_EVENTS, number) for number in range(partitions)])
    await consumer.start()
    try:
        yield _decoded(consumer)
    finally:
        await consumer.stop()


async def _decoded(consumer: AIOKafkaConsumer) -> AsyncIterator[CloudEvent]:
    async for record in consumer:
        yield decode(record.value or b"", record.headers)
