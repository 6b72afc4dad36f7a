"""Commands and services in the process of the tests.

The command line parses the arguments and reads the environment, so a documented command is tested
as it is written.
"""

import asyncio
import logging
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import command as command_module
from cli.main import app
from cli.runfile import resolve
from cli.services import Role, running
from cli.settings import Settings
from messaging import backoff
from tests.support.processes import PATIENCE


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands leave logging and process of the tests alone, and nothing has been logged yet."""
    monkeypatch.setattr(command_module, "_leave", command_module.finish)
    monkeypatch.setattr(command_module, "configure_logging", lambda *_: None)
    monkeypatch.setattr(backoff, "_failing", {})


async def run_inside(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends; the test must use the fixture `inside`."""
    return await asyncio.to_thread(_run, arguments, env)


def _run(arguments: tuple[str, ...], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    unset = dict.fromkeys(name for name in os.environ if name.startswith("SPREAVIEW_"))
    given = {**unset, **env}
    done = CliRunner().invoke(app, arguments, env=given)
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


class Lines(logging.Handler):
    """The lines that services log, as they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if value is not None}
        line = {"event": record.getMessage(), "level": record.levelname}
        self._lines.append(fields | line)

    async def line(self, **fields: object) -> dict[str, Any]:
        """Wait for a line with these fields; the first of them."""
        wanted = {name: str(value) for name, value in fields.items()}
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in list(self._lines):
                    if all(str(line.get(name)) == value for name, value in wanted.items()):
                        return line
                await asyncio.sleep(0.02)


@asynccontextmanager
async def logged_lines() -> AsyncIterator[Lines]:
    """The lines that are logged while the block runs."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(lines)


@asynccontextmanager
async def service_inside(role: Role, **settings: str) -> AsyncIterator[Lines]:
    """A service in this process; the block begins at once, before the service is ready."""
    usual = {
        "kafka_session_seconds": "6",
        "sessionize_base_url": "http://127.0.0.1:9/api/v2",
        "fetch_attempts": "1",
        "health_period_seconds": "0.2",
        "graceful_timeout": "0.1",
    }
    given: dict[str, Any] = usual | settings
    serving = Settings(**given)

    async def serve() -> None:
        async with running(role, serving, resolve(serving)) as background:
            await background

    async with logged_lines() as lines:
        task = asyncio.create_task(serve())
        try:
            yield lines
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
