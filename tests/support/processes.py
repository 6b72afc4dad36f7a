"""Real processes: the installed command, started as users start it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).parents[2]
COMMAND = (str(Path(sys.executable).with_name("spreaview-sync")),)
PATIENCE = 90.0
"""Seconds until a process that has not finished its part fails the test."""


class Up(NamedTuple):
    """A running `up`."""

    process: subprocess.Popen[str]
    database_url: str
    kafka: str
    environment: dict[str, str]
    logged: Path
    """The file with its standard error."""
    http: str = ""
    """The address of the HTTP side."""

    def children(self) -> list[psutil.Process]:
        """Every descendant process of `up`."""
        started: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return started

    def stop(self) -> int:
        """Send SIGTERM and wait; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def environment(**settings: str) -> dict[str, str]:
    """The current environment with only the given settings of spreaview-sync."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SPREAVIEW_")}
    return kept | {f"SPREAVIEW_{name.upper()}": value for name, value in settings.items()}


def run(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=dict(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def up(env: dict[str, str]) -> Iterator[Up]:
    """Run `up` while the block runs; the block starts when `up` has printed that it is ready."""
    logged = Path(env["SPREAVIEW_DATA_DIR"]).with_suffix(".log")
    with logged.open("w") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "up"], env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), f"up printed {line!r}; {logged.read_text()}"
        addresses = dict(word.split("=", 1) for word in line.split()[1:])
        yield Up(
            process,
            addresses["database"],
            addresses["kafka"],
            env,
            logged,
            addresses.get("http", ""),
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def request(
    env: Mapping[str, str],
    *,
    event_id: object,
    organization_id: object,
    api_id: str,
    days: tuple[str, str],
    time_zone: str,
    more: tuple[str, ...] = (),
) -> tuple[int, dict[str, Any]]:
    """Run `request --wait --json`: the exit code and the printed JSON."""
    done = run(
        *("request", "--wait", "--json", "--event-id", str(event_id)),
        *("--organization-id", str(organization_id), "--api-id", api_id),
        *("--from", days[0], "--to", days[1], "--time-zone", time_zone, *more),
        env=env,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
