"""The programs of `examples/`, run as a user runs them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest

from cli.telemetry.metrics import METRICS
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


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("./sync_and_wait.sh",), marks=needs_curl, id="curl"),
        pytest.param((sys.executable, "sync_and_wait.py"), id="python"),
        pytest.param(("node", "sync_and_wait.mjs"), marks=needs_node, id="node"),
    ],
)
def test_requesting_a_sync_and_waiting(running: Up, command: tuple[str, ...]) -> None:
    ids = str(uuid5(NAMES, command[-1])), str(uuid5(NAMES, "organization"))
    assert "completed" in finish(start(running, *command, *ids, *SCHEDULE))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, "follow_feed.py"), id="python"),
        pytest.param(("node", "follow_feed.mjs"), marks=needs_node, id="node"),
    ],
)
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
    sync(running, "history")
    known = len(log_ids(running))
    wanted = known + 56  # the events of one first sync of the demo's conference
    process = start(running, sys.executable, "history_then_live.py", str(wanted))
    assert process.stdout is not None
    first = [process.stdout.readline().strip() for _ in range(known)]
    sync(running, "live")
    rest = finish(process).split()
    assert sorted([*first, *rest]) == sorted(log_ids(running))


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
