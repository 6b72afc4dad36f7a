"""A fault at every await of handler, relay and projector logs no secret and no personal data.

Real processes at the most talkative level, in both formats. Their metrics and the spans that they
export are searched, too. `tests/support/faulty_awaits` finds
the awaits in the source and raises errors there that quote everything confidential. A place that no
fault reaches fails the test, so a new await needs a way to it, below in `drive`.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.telemetry.tracing import ENDPOINTS
from contracts import identity
from contracts.messages import encode_request
from contracts.topics import DEFAULT_PARTITIONS, SYNC_REQUESTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, StreamMovedError
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from projections.generations import select_live_generation
from tests.support.faulty_awaits.places import places
from tests.support.line import ORGANIZATION, a_request
from tests.support.otlp import Collector, otlp_collector
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, environment
from tests.support.sessionize.answers import Answer, Documents
from tests.support.sessionize.double import Double, sessionize_double
from tests.support.streams import BREAK, STARTED, append_run, change_log

pytestmark = pytest.mark.asyncio

PASSWORD = "hushhush77"
REQUESTER = "Ada Example"
API_ID, UNKNOWN_API_ID = "import77", "secret88"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EVENTS = cycle([UUID(int=number + 1, version=4) for number in range(8)])
"""Few, because a projector that fails applies one after the other."""
FAULTS = "faults"
"""The file that lists them."""
SERVICES = ("worker", "projector")
SECONDS = 240.0
"""Time limit to reach every place. Most of it are starts: many faults end the projector."""

STOPPED_BY_OTHER_CODE = text("""
    UPDATE stream_progress SET error = coalesce(error, 'stopped'), code_version = 'other'
""")
AHEAD_OF_THE_LOG = text("""
    INSERT INTO stream_progress (spreaview_event_id, version, position)
    VALUES (gen_random_uuid(), 100, 1)
""")
ENDED = text("""
    SELECT CAST(data->>'sync_id' AS uuid) FROM event_store.events
    WHERE type IN ('SyncCompleted', 'SyncFailed') LIMIT 1
""")
STORED_ERRORS = text("""
    SELECT error FROM stream_progress WHERE error IS NOT NULL
    UNION ALL SELECT reason FROM event_store.unpublished
""")


@dataclass
class Scene:
    """Servers, and how to reach them."""

    kafka: str
    database_url: str
    double: Double
    producer: Producer
    engine: AsyncEngine

    def environment(self) -> dict[str, str]:
        with_password = make_url(self.database_url).set(password=PASSWORD)
        return environment(
            database_url=with_password.render_as_string(hide_password=False),
            kafka_bootstrap_servers=self.kafka,
            kafka_transactions="false",
            kafka_session_seconds="1",
            sessionize_base_url=self.double.base_url,
            relay_poll_seconds="0.1",
            sweep_seconds="0.1",
            seal_seconds="0.1",
            source_retention_days="1",
            snapshot_events="1",
            log_level="DEBUG",
        )


def secrets() -> list[str]:
    document = json.loads(encode_conference(conference(API_ID)))
    return [PASSWORD, REQUESTER, API_ID, UNKNOWN_API_ID, *personal(document)]


def personal(document: dict[str, Any]) -> Iterator[str]:
    for speaker in document["speakers"]:
        yield speaker["fullName"]
        for name in ("bio", "tagLine"):
            if value := speaker[name]:
                yield value.splitlines()[0]


@pytest_asyncio.fixture(scope="module")
async def scene(module_kafka: str, module_database_url: str) -> AsyncIterator[Scene]:
    await declare_topics(
        KafkaConnection(module_kafka),
        partitions=DEFAULT_PARTITIONS,
        replication_factor=1,
        retention_days=1,
    )
    async with (
        sessionize_double(Documents()) as double,
        producing(KafkaConnection(module_kafka)) as producer,
        database(module_database_url, pool_size=4) as engine,
    ):
        double.documents.put(API_ID, Answer(encode_conference(conference(API_ID))))
        await append_broken_run(engine)
        yield Scene(module_kafka, module_database_url, double, producer, engine)


async def append_broken_run(engine: AsyncEngine) -> None:
    """Append a run that no projector can apply: its stream stops whenever it is tried again."""
    stream = uuid4()
    await append_run(EventLog(engine), stream, 1)
    await change_log(engine, BREAK, stream=stream)


@contextmanager
def started(name: str, folder: Path, env: dict[str, str]) -> Iterator[None]:
    program = (sys.executable, "-m", "tests.support.faulty_awaits", str(folder / FAULTS))
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            [*program, name],
            env=env,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def drive(scene: Scene) -> None:
    """Let the services do one of everything that leads to other awaits."""
    log, window = EventLog(scene.engine), conference_window()
    request, unknown, refused, wrong, superseded = (
        a_request(API_ID, window, event_id=next(EVENTS)) for _ in range(5)
    )
    unknown = replace(unknown, sessionize_api_id=UNKNOWN_API_ID)
    wrong = replace(wrong, sessionize_api_id="not an id")
    async with scene.engine.connect() as connection:
        ended = (await connection.execute(ENDED)).scalar()
    taken = replace(request, request_id=ended or uuid4(), spreaview_event_id=uuid4())
    backwards = replace(window, ends_on=LONG_AGO.date())
    refused = replace(refused, window=backwards)
    for one in (request, unknown, taken, refused, wrong):
        await publish_request(scene.producer, one)
    invalid = json.loads(encode_request(taken)) | {"window": "tomorrow"}
    await scene.producer.send_and_wait(SYNC_REQUESTS, json.dumps(invalid).encode())
    await scene.producer.send_and_wait(SYNC_REQUESTS, f"{REQUESTER} {API_ID}".encode())
    await start_run(log, superseded.spreaview_event_id)
    await publish_request(scene.producer, superseded)
    await start_run(log, uuid4())  # its request never comes
    async with scene.engine.begin() as connection:
        await select_live_generation(connection)
        await connection.execute(STOPPED_BY_OTHER_CODE)
        await connection.execute(AHEAD_OF_THE_LOG)


async def start_run(log: EventLog, stream: UUID) -> None:
    sync_id = uuid4()
    event = replace(
        STARTED,
        sync_id=sync_id,
        spreaview_event_id=stream,
        organization_id=ORGANIZATION,
        ordered_at=LONG_AGO,
    )
    version = await log.stream_version(stream)
    with suppress(StreamMovedError):
        await log.append(
            Commit(stream, version, [NewEvent(identity.message_id(sync_id, 0), event)])
        )


async def meet_faults(
    scene: Scene, folder: Path, *, until: set[str], **more: str
) -> tuple[str, set[str]]:
    """Return the output of the services, and the places that no fault has reached."""
    env = scene.environment() | {"FAULTY_AWAITS_VALUES": json.dumps(secrets())} | more
    file = folder / FAULTS
    file.touch()
    missing = set(until)
    loop = asyncio.get_running_loop()
    ports = [free_port() for _ in SERVICES]
    async with AsyncExitStack() as processes:
        collector = await processes.enter_async_context(otlp_collector())
        env |= {ENDPOINTS[0]: collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        for name, port in zip(SERVICES, ports, strict=True):
            own = env | {"SPREAVIEW_HEALTH_PORT": str(port)}
            processes.enter_context(started(name, folder, own))
        deadline, pause = loop.time() + SECONDS, 0.5
        while missing and loop.time() < deadline:
            await drive(scene)
            await asyncio.sleep(pause)
            pause = min(3.0, pause * 1.05)  # a leader ends abandoned runs when the rest is done
            missing -= {line.partition("\t")[0] for line in file.read_text("utf-8").splitlines()}
        metrics = [await metrics_at(port) for port in ports]
        async with asyncio.timeout(PATIENCE):
            await has_spans(collector, f"process {SYNC_REQUESTS}", "fetch", "append")
    assert all("spreaview_retries_total" in text for text in metrics)
    exported = [body.decode("latin-1") for body in collector.bodies]
    output = "".join((folder / f"{name}.log").read_text("utf-8") for name in SERVICES)
    async with scene.engine.begin() as connection:
        await select_live_generation(connection)
        stored = await connection.execute(STORED_ERRORS)
        output += "\n".join([*stored.scalars(), *metrics, *exported])
    return output, missing


async def has_spans(collector: Collector, *names: str) -> None:
    """Wait until spans of these names are exported."""
    while True:
        if set(names) <= {span.name for span in collector.spans}:
            return
        await asyncio.sleep(0.1)


async def metrics_at(port: int) -> str:
    """Scrape a service, which may just be starting again after a fault."""
    async with httpx.AsyncClient(timeout=10) as client, asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                await asyncio.sleep(0.1)


def found_in(output: str) -> dict[str, int]:
    """Count the secrets in it; what JSON escapes is unescaped."""
    output += re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), output)
    return {secret: output.count(secret) for secret in secrets() if secret in output}


async def test_a_fault_at_every_await_is_logged_without_secrets(
    scene: Scene, tmp_path: Path
) -> None:
    output, missing = await meet_faults(scene, tmp_path, until=places())
    assert not missing, "no fault reached these places:\n" + "\n".join(sorted(missing))
    for part in ("Traceback", '{"event": ', "worker/sync/", "worker/relay/relay.py", "is stopped"):
        assert part in output
    assert found_in(output) == {}


async def test_the_same_faults_find_a_leak(scene: Scene, tmp_path: Path) -> None:
    some = {place for place in places() if "handle.py" in place and "find_run" in place}
    output, _ = await meet_faults(scene, tmp_path, until=some, FAULTY_AWAITS_LEAK="1")
    assert {API_ID, REQUESTER, PASSWORD} <= found_in(output).keys()
