"""One trace from the publisher to the query, exported over HTTP, with the phases as spans."""

import asyncio
import io
import json
import logging
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cli.logs import configure_logging
from cli.telemetry.tracing import tracing
from contracts.identity import OUTCOME, message_id
from messaging.cloudevents import TRACEPARENT
from messaging.requests import publish_request
from tests.support.documents import WINDOW
from tests.support.http_side import HttpSide, the_http_side
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.otlp import Collector, ReceivedSpan, otlp_collector
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

API_ID = "demo2026"
TRACE, PUBLISHER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FROM_PUBLISHER = f"00-{TRACE}-{PUBLISHER}-01"
REQUESTS, EVENTS = "spreaview.sync-requests.v1", "spreaview.import-events.v1"
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
BODY = {
    "organization_id": str(ORGANIZATION),
    "sessionize_api_id": API_ID,
    "window": {
        "starts_on": WINDOW.starts_on.isoformat(),
        "ends_on": WINDOW.ends_on.isoformat(),
        "time_zone": WINDOW.time_zone,
    },
}


@pytest_asyncio.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that the processes of the test export to."""
    async with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log as JSON lines."""
    stream = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        configure_logging("INFO", "json")
    yield stream
    configure_logging("INFO", "console")


async def test_one_trace_from_the_publisher_to_the_query(
    collector: Collector, output: io.StringIO, own_kafka: str, database_url: str
) -> None:
    event, request_id = uuid4(), uuid4()
    body = BODY | {"request_id": str(request_id)}
    async with the_line(own_kafka, database_url) as line, the_http_side(line) as side:
        headers = {"traceparent": FROM_PUBLISHER, "prefer": "wait=10"}
        answer = await side.client.post(f"/v1/events/{event}/syncs", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        sync_id = str(request_id)
        path = f"/v1/events/{event}/syncs/{sync_id}"
        await ask(side, path)
        await ask(side, path, traceparent=FROM_PUBLISHER)
        metadata = await metadata_of_outcome(line, sync_id)
        await line.published()
    # The end of both has exported everything.
    spans = collector.of_trace(TRACE)
    names = Counter(span.name for span in spans)
    assert names.pop(f"send {EVENTS}") >= 1
    assert names.pop(f"process {EVENTS}") >= 1
    assert names == {
        "POST /v1/events/{event_id}/syncs": 1,
        f"send {REQUESTS}": 1,
        f"process {REQUESTS}": 1,
        "load": 1,
        "fetch": 1,
        "GET": 1,
        "decide": 1,
        "append": 2,
        "GET /v1/events/{event_id}/syncs/{sync_id}": 1,
    }
    by_name = {span.name: span for span in spans}
    posted, sent = by_name["POST /v1/events/{event_id}/syncs"], by_name[f"send {REQUESTS}"]
    processed = by_name[f"process {REQUESTS}"]
    assert (posted.parent_id, posted.kind) == (PUBLISHER, SERVER)
    assert (sent.parent_id, sent.kind) == (posted.span_id, PRODUCER)
    assert (processed.parent_id, processed.kind) == (sent.span_id, CONSUMER)
    for name in ("load", "fetch", "decide", "append"):
        assert (by_name[name].parent_id, by_name[name].kind) == (processed.span_id, INTERNAL)
        assert processed.start <= by_name[name].start <= by_name[name].end <= processed.end
    # It begins with the append of the start, and the phase waits for it.
    assert (by_name["GET"].parent_id, by_name["GET"].kind) == (processed.span_id, CLIENT)
    for name, kind in ((f"send {EVENTS}", PRODUCER), (f"process {EVENTS}", CONSUMER)):
        assert (by_name[name].parent_id, by_name[name].kind) == (processed.span_id, kind)
    assert processed.attributes["messaging.operation.type"] == "process"
    assert processed.attributes["messaging.destination.name"] == REQUESTS
    assert processed.attributes["messaging.consumer.group.name"] == "spreaview-worker"
    assert processed.attributes["spreaview.sync_id"] == sync_id
    assert metadata == f"00-{TRACE}-{processed.span_id}-01"
    # A query without a traceparent has a trace of its own, linked to the sync.
    (query,) = [s for s in collector.spans if s.trace_id != TRACE and "{sync_id}" in s.name]
    assert query.links == ((TRACE, processed.span_id),)
    assert {str(s.resource["service.name"]) for s in collector.spans} == {"spreaview-sync"}
    assert not [span for span in spans if span.is_error]
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    of_run = [line for line in lines if line.get("sync_id") == sync_id]
    assert of_run
    assert {line.get("trace_id") for line in of_run} == {TRACE}


async def ask(side: HttpSide, path: str, **headers: str) -> None:
    answer = await side.client.get(path, headers=headers)
    assert answer.status_code == 200


async def metadata_of_outcome(line: Line, sync_id: str) -> object:
    """The traceparent that is stored with the outcome."""
    outcome = await line.log.event(message_id(UUID(sync_id), OUTCOME))
    assert outcome is not None
    return outcome.metadata.get(TRACEPARENT)


async def test_the_request_command_continues_the_trace_of_its_caller_to_its_own_query(
    collector: Collector, own_kafka: str, database_url: str
) -> None:
    async with the_line(own_kafka, database_url) as line:
        done, sync_id = await requested(line, "--wait", TRACEPARENT=FROM_PUBLISHER)
        assert done.returncode == 0, done.stderr
        metadata = await metadata_of_outcome(line, sync_id)
        await line.published()
    spans = collector.of_trace(TRACE)
    by_name = {span.name: span for span in spans}
    command, sent = by_name["request"], by_name[f"send {REQUESTS}"]
    processed = by_name[f"process {REQUESTS}"]
    assert (command.parent_id, command.kind) == (PUBLISHER, INTERNAL)
    assert (sent.parent_id, sent.kind) == (command.span_id, PRODUCER)
    assert (processed.parent_id, processed.kind) == (sent.span_id, CONSUMER)
    for name in ("load", "fetch", "decide", "append", f"send {EVENTS}", f"process {EVENTS}"):
        assert by_name[name].parent_id == processed.span_id
    assert command.attributes["spreaview.sync_id"] == sync_id
    assert command.resource["spreaview.role"] == "request"
    # It has waited for the outcome in the read models.
    assert command.start < processed.start
    assert by_name[f"process {EVENTS}"].start < command.end
    assert metadata == f"00-{TRACE}-{processed.span_id}-01"
    assert not [span for span in spans if span.is_error]
    assert not [body for body in collector.bodies if API_ID.encode() in body]


async def test_the_request_command_begins_a_trace(
    collector: Collector, own_kafka: str, database_url: str
) -> None:
    async with the_line(own_kafka, database_url) as line:
        done, sync_id = await requested(line)
        assert (done.returncode, done.stderr) == (0, "")
        await line.ended(UUID(sync_id))
    (command,) = named(collector, "request")
    assert command.parent_id == ""
    names = {span.name for span in collector.of_trace(command.trace_id)}
    assert {f"send {REQUESTS}", f"process {REQUESTS}", "fetch", f"process {EVENTS}"} <= names


async def test_without_an_endpoint_the_request_command_hands_the_trace_on(
    own_kafka: str, database_url: str
) -> None:
    async with the_line(own_kafka, database_url) as line:
        _, in_a_trace = await requested(line, "--wait", TRACEPARENT=FROM_PUBLISHER)
        _, in_none = await requested(line, "--wait", TRACEPARENT="not a traceparent")
        assert await metadata_of_outcome(line, in_a_trace) == FROM_PUBLISHER
        assert await metadata_of_outcome(line, in_none) is None


async def test_the_request_command_neither_fails_nor_waits_for_a_silent_collector(
    own_kafka: str, database_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with the_line(own_kafka, database_url) as line:
            done, sync_id = await requested(line, OTEL_EXPORTER_OTLP_ENDPOINT=url)
            assert (done.returncode, done.stderr) == (0, "")
            await line.ended(UUID(sync_id))


async def requested(
    line: Line, *options: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the command `request` as a process; its end, and the id of the sync."""
    sync_id = str(uuid4())
    env = environment(
        database_url=line.addresses.database_url,
        kafka_bootstrap_servers=str(line.addresses.kafka),
        kafka_transactions="false",
    )
    arguments = (
        *("request", "--request-id", sync_id, "--organization-id", str(ORGANIZATION)),
        *("--event-id", str(uuid4()), "--api-id", API_ID, "--time-zone", WINDOW.time_zone),
        *("--from", WINDOW.starts_on.isoformat(), "--to", WINDOW.ends_on.isoformat()),
    )
    done = await asyncio.to_thread(run, *arguments, *options, env=env | variables)
    return done, sync_id


async def test_a_request_without_a_trace_begins_one(
    collector: Collector, own_kafka: str, database_url: str
) -> None:
    async with the_line(own_kafka, database_url) as line:
        request = a_request("failing8", WINDOW)
        row = await line.sync(request)
        assert row["status"] == "failed"
        await line.published()
    (processed,) = named(collector, f"process {REQUESTS}")
    assert processed.parent_id == ""
    trace = collector.of_trace(processed.trace_id)
    assert {"fetch", "GET", f"send {EVENTS}", f"process {EVENTS}"} <= {s.name for s in trace}
    (attempt,) = named(collector, "GET")
    assert (attempt.is_error, attempt.attributes["http.response.status_code"]) == (True, 404)
    assert attempt.attributes["error.type"] == "SyncFailure"
    assert not [body for body in collector.bodies if b"failing8" in body]


async def test_without_an_endpoint_the_trace_is_handed_on(
    output: io.StringIO, own_kafka: str, database_url: str
) -> None:
    async with the_line(own_kafka, database_url) as line:
        request = a_request(API_ID, WINDOW)
        await publish_request(line.producer, request, traceparent=FROM_PUBLISHER)
        row = await line.ended(request.request_id)
        assert row["status"] == "completed"
        assert await metadata_of_outcome(line, str(request.request_id)) == FROM_PUBLISHER
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    ids = {line.get("trace_id") for line in lines if line.get("sync_id") == str(request.request_id)}
    assert ids == {TRACE}


async def test_a_collector_that_is_away_delays_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with caplog.at_level(logging.WARNING):
        async with tracing("1.0", "worker") as tracer:
            for _ in range(3):
                with tracer.start_as_current_span("work"):
                    pass
                await asyncio.sleep(0.3)
    ours = [r.getMessage() for r in caplog.records if r.name == "messaging.backoff"]
    assert len(ours) == 1
    assert ours[0].startswith("exporting traces is failing")


async def test_a_collector_that_never_answers_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
    monkeypatch.setattr("cli.telemetry.tracing._END_SECONDS", 0.1)
    async with server, asyncio.timeout(20):
        async with tracing("1.0", "worker") as tracer:
            with tracer.start_as_current_span("work"):
                pass
        await connected.wait()


def named(collector: Collector, name: str) -> list[ReceivedSpan]:
    return [span for span in collector.spans if span.name == name]
