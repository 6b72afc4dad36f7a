"""The programs of `examples/`, run as a user runs them."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import httpx
import pytest

from cli.telemetry.metrics import METRICS
from contracts.topics import IMPORT_EVENTS
from messaging.cloudevents import log_source
from messaging.connection import KafkaConnection
from messaging.requests import producing
from messaging.topic_reader import known_partitions_of, open_topic_reader, to_the_end
from tests.support.processes import PATIENCE, ROOT, Up, environment, up
from tests.support.prometheus import Scrape, scraped_until

EXAMPLES = ROOT / "examples"
NAMES = UUID(int=5)
SCHEDULE = ("demo2026", "2026-05-28", "2026-05-29", "Europe/Vienna")

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    env = environment(data_dir=str(tmp_path_factory.mktemp("examples") / "data"))
    with up(env) as started:
        yield started


waiting_programs = pytest.mark.parametrize(
    "command",
    [
        pytest.param(("sh", "sync_and_wait.sh"), marks=needs_curl, id="curl"),
        pytest.param((sys.executable, "sync_and_wait.py"), id="python"),
        pytest.param(("node", "sync_and_wait.mjs"), marks=needs_node, id="node"),
    ],
)


def start(running: Up, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env=environment() | {"SPREAVIEW_HTTP": running.http, "SPREAVIEW_KAFKA": running.kafka},
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


def sync(running: Up, name: str) -> str:
    """Sync an event of this name with the example in Python; returns what it prints."""
    ids = str(uuid5(NAMES, name)), str(uuid5(NAMES, "organization"))
    return finish(start(running, sys.executable, "sync_and_wait.py", *ids, *SCHEDULE))


def log_ids(running: Up) -> list[str]:
    """The ids of all events in the log."""
    ids: list[str] = []
    after = "start"
    while True:
        page = httpx.get(f"{running.http}/v1/import-events", params={"after": after})
        answer = page.json()
        ids += [event["id"] for event in answer["events"]]
        after = answer["next"]
        if answer["caught_up"]:
            return ids


@waiting_programs
def test_requesting_a_sync_and_waiting(running: Up, command: tuple[str, ...]) -> None:
    ids = str(uuid5(NAMES, command[-1])), str(uuid5(NAMES, "organization"))
    assert "completed" in finish(start(running, *command, *ids, *SCHEDULE))


class Server(ThreadingHTTPServer):
    """Answers with given statuses and bodies; the last one stays."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [*answers]
        self.calls: list[tuple[str, str]] = []
        """Path and body of each request."""
        self.called_at: list[float] = []
        """Monotonic time of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.calls.append((self.path, content))
        self.server.called_at.append(time.monotonic())
        answers = self.server.answers
        status, value = answers.pop(0) if len(answers) > 1 else answers[0]
        body = json.dumps(value, separators=(",", ":")).encode()
        self.send_response(status)
        if status == 202:
            self.send_header("Location", f"{self.path}/{json.loads(content)['request_id']}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


NOT_YET = 409, {"detail": "Sync has not ended yet"}
FAILED = 200, {"sync": {"status": "failed", "failure_message": "no dates"}, "changes_total": 0}


@contextmanager
def answering(*answers: tuple[int, object]) -> Iterator[Server]:
    with Server(*answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def against(server: Server, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*command, str(uuid5(NAMES, "event")), str(uuid5(NAMES, "organization")), *SCHEDULE),
        env=environment() | {"SPREAVIEW_HTTP": server.url},
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@waiting_programs
@pytest.mark.parametrize("status", [404, 409])
def test_a_refused_request_ends_with_the_reason(command: tuple[str, ...], status: int) -> None:
    with answering((status, {"detail": "The token knows no such organization"})) as server:
        done = against(server, *command)
    assert done.returncode == 1
    assert "The token knows no such organization" in done.stdout + done.stderr
    assert len(server.calls) == 1


@waiting_programs
def test_a_sync_that_fails_after_the_first_wait_is_reported(command: tuple[str, ...]) -> None:
    with answering((202, {"status": "accepted"}), NOT_YET, FAILED) as server:
        done = against(server, *command)
    assert done.returncode == 1
    assert "failed" in done.stdout
    (path, body), *polls = server.calls
    sync_id = json.loads(body)["request_id"]
    assert [place for place, _ in polls] == [f"{path}/{sync_id}?wait_for_sync={sync_id}"] * 2


@waiting_programs
def test_the_wait_for_a_sync_has_a_limit(command: tuple[str, ...], tmp_path: Path) -> None:
    text = (EXAMPLES / command[-1]).read_text("utf-8")
    assert text.count("5 * 60") == 1
    impatient = tmp_path / command[-1]
    impatient.write_text(text.replace("5 * 60", "1"), "utf-8")
    with answering((202, {"status": "accepted"}), NOT_YET) as server:
        done = against(server, *command[:-1], str(impatient))
    assert done.returncode == 1
    assert "Sync has not ended yet" in done.stdout + done.stderr


following_programs = pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, "follow_feed.py"), id="python"),
        pytest.param(("node", "follow_feed.mjs"), marks=needs_node, id="node"),
    ],
)


@following_programs
def test_following_the_feed_pauses_after_each_stream(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    stuck, refused = (503, {"detail": "The feed is stuck"}), (401, {"detail": "Send a token"})
    with answering((200, {}), (200, {}), stuck, refused) as server:
        done = against(server, *command, str(tmp_path / "events.jsonl"))
    assert done.returncode == 1
    times = server.called_at
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.9
    assert len(times) == 4


@following_programs
def test_following_the_feed_over_kills(
    running: Up, command: tuple[str, ...], tmp_path: Path
) -> None:
    """Killed twice while syncs go on: every event of the log is in the file, once, in order."""
    file = tmp_path / "events.jsonl"
    file.touch()
    for number in range(3):
        process = start(running, *command, str(file))
        try:
            sync(running, f"feed {command[-1]} {number}")
            wait_for_lines(file, 1 if number < 2 else len(log_ids(running)))
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    written = [json.loads(line)["event"]["id"] for line in file.read_text("utf-8").splitlines()]
    assert written == log_ids(running)


def wait_for_lines(file: Path, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while file.read_bytes().count(b"\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_history_first_then_live(running: Up) -> None:
    """Records that the relay repeats, and those of a log before a restore, are not printed."""
    sync(running, "history")
    known = len(log_ids(running))
    wanted = known + 2 * 56  # the events of two first syncs of the demo's conference
    process = start(running, sys.executable, "history_then_live.py", str(wanted))
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(known)]
    sync(running, "live")
    printed += [process.stdout.readline().strip() for _ in range(56)]
    asyncio.run(repeat_records(running.kafka))
    sync(running, "later")
    printed += finish(process).split()
    assert sorted(printed) == sorted(log_ids(running))


async def repeat_records(kafka: str) -> None:
    """Publish every import event again, and as an event of another log."""
    connection = KafkaConnection(kafka)
    async with open_topic_reader(connection) as reader, producing(connection) as producer:
        partitions = await known_partitions_of(reader, IMPORT_EVENTS)
        async for record in to_the_end(reader, partitions):
            foreign = dict(record.headers) | {
                "ce_source": log_source(uuid4()).encode(),
                "ce_position": b"%d" % (10**9 + record.offset),
            }
            for headers in (record.headers, foreign.items()):
                await producer.send_and_wait(
                    *(IMPORT_EVENTS, record.value, record.key),
                    partition=record.partition,
                    headers=list(headers),
                )


@pytest.mark.asyncio
async def test_up_serves_the_metrics_of_all_its_parts(running: Up) -> None:
    sync(running, "metrics")
    expected = {metric.name for metric in METRICS} - {"spreaview_seal_age_seconds"}
    found = await scraped_until(
        lambda scrape: expected <= {series.partition("{")[0] for series in names_of(scrape)},
        f"{running.http}/metrics",
    )
    assert found.value("spreaview_build_info", role="up") == 1
    assert (found.value("spreaview_sync_outcomes_total", code="completed") or 0) >= 1


def names_of(scrape: Scrape) -> set[str]:
    """The series by the names of their metrics: those of histograms have a suffix."""
    return {*scrape.values, *(name.replace("_count{", "{") for name in scrape.values)}
