"""The watchdog: a server that ends, that never becomes ready, or that ignores its signal."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from cli.sandbox.errors import SandboxError
from cli.sandbox.watched_server import watched_server
from tests.support.owners import (
    PATIENCE,
    is_alive,
    until,
)


@pytest.mark.asyncio
async def test_a_server_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\nwhile 1: input"
    )
    log_path = tmp_path / "log"
    async with watched_server(
        "deaf", [sys.executable, "-c", deaf], log_path=log_path, grace_seconds=0.2
    ) as server:
        await until(lambda: server.log_tail() == "up")
        (process,) = psutil.Process(server.pid).children()
    assert not is_alive(process)
    assert await server.ended() == 128 + signal.SIGKILL


@pytest.mark.asyncio
async def test_a_server_that_ends_before_it_is_ready_is_an_error(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    argv = [sys.executable, "-c", "import sys; print('last words'); sys.exit(7)"]
    async with watched_server("brief", argv, log_path=tmp_path / "log") as server:
        with pytest.raises(
            SandboxError, match=r"(?s)brief did not start \(exit code 7\).*last words"
        ):
            await server.ready(never, seconds=PATIENCE)
        assert await server.ended() == 7
        assert not server.is_running


@pytest.mark.asyncio
async def test_a_server_that_ends_later_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_up() -> bool:
        return "up" in server.log_tail()

    argv = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
    async with watched_server("brief", argv, log_path=tmp_path / "log") as server:
        await server.ready(is_up, seconds=PATIENCE)
        psutil.Process(server.pid).children()[0].kill()
        await until(lambda: "brief has ended by itself (exit code 137)" in caplog.text)


@pytest.mark.asyncio
async def test_a_missing_program_is_reported_in_the_log(tmp_path: Path) -> None:
    async with watched_server("none", [tmp_path / "none"], log_path=tmp_path / "log") as server:
        assert await server.ended() == 127
        assert "cannot start" in server.log_tail()


@pytest.mark.asyncio
async def test_a_server_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    async with watched_server("slow", argv, log_path=tmp_path / "log") as server:
        with pytest.raises(SandboxError, match=r"slow is not ready after 0\.1 seconds"):
            await server.ready(never, seconds=0.1)
