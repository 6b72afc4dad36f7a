"""The sandbox's servers never outlive their owner, for any end of the owner."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from cli.sandbox.postgres import postgres
from tests.support.owners import (
    PATIENCE,
    ask,
    is_alive,
    owner,
    printed,
    until,
)

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux")


@pytest.mark.asyncio
async def test_an_owner_that_ends_in_order_leaves_no_server(tmp_path: Path) -> None:
    async with owner(tmp_path) as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert await running.process.wait() == 0
        await running.servers_are_gone()


@pytest.mark.asyncio
async def test_a_killed_owner_leaves_no_server_and_loses_no_data(tmp_path: Path) -> None:
    """The owner's other children keep running, so they do not hold the servers' lifelines."""
    async with owner(tmp_path) as running:
        await ask(running.url, "CREATE TABLE kept AS SELECT 'this' AS what")
        running.process.kill()
        await running.servers_are_gone()
        assert is_alive(running.other)
    async with postgres(tmp_path / "postgres") as url:
        assert await ask(url, "SELECT what FROM kept") == "this"


@pytest.mark.asyncio
async def test_the_next_owner_waits_for_the_servers_of_a_killed_owner(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with owner(tmp_path) as running:
        postmaster = running.postmaster()
        postmaster.suspend()  # so that it does not end at once
        running.process.kill()
        await running.process.wait()
        starting = asyncio.create_task(ask_a_new_server(tmp_path / "postgres"))
        await until(lambda: "waiting for the servers of an earlier owner" in caplog.text)
        postmaster.resume()
        assert await asyncio.wait_for(starting, PATIENCE) == 1


async def ask_a_new_server(folder: Path) -> object:
    async with postgres(folder) as url:
        return await ask(url, "SELECT 1")


@LINUX_ONLY
@pytest.mark.asyncio
async def test_killed_watchdogs_leave_no_server(tmp_path: Path) -> None:
    async with owner(tmp_path) as running:
        for watchdog in running.watchdogs():
            watchdog.kill()
        await running.servers_are_gone()


@pytest.mark.asyncio
async def test_data_survive_a_simultaneous_kill_of_all_processes(tmp_path: Path) -> None:
    async with owner(tmp_path) as running:
        await ask(running.url, "CREATE TABLE kept AS SELECT 'this' AS what")
        everything = [psutil.Process(running.process.pid), *running.servers]
        for process in everything:
            process.suspend()
        for process in everything:
            process.kill()
        await running.servers_are_gone()
    # The process id now belongs to another process, as after the restart of a container.
    stale = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    user = stale.stat().st_uid if os.geteuid() == 0 else None
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", user=user)
    lines = stale.read_text("ascii").splitlines()
    stale.write_text("\n".join([str(stranger.pid), *lines[1:], ""]), "ascii")
    try:
        async with postgres(tmp_path / "postgres") as url:
            assert await ask(url, "SELECT what FROM kept") == "this"
    finally:
        stranger.kill()
        await stranger.wait()


@pytest.mark.asyncio
async def test_ctrl_c_reaches_only_the_owner(tmp_path: Path) -> None:
    async with owner(tmp_path) as running:
        os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
        assert await printed(running.process) == "still there"
        assert await running.process.wait() == 0
        await running.servers_are_gone()
