"""Processes that own servers, for tests that kill them."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import psutil

ROOT = Path(__file__).parents[2]
SITE = Path(asyncpg.__file__).parents[1]
ENVIRONMENT = {"PATH": os.defpath, "PYTHONPATH": f"{ROOT}:{SITE}"} | {
    name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ
}
"""The smallest environment in which any installed Python can import this project."""
FAST = {"fsync": "off", "synchronous_commit": "off"}
"""Settings of a PostgreSQL whose data need not survive a power failure."""
PATIENCE = 30.0
"""Seconds to wait for a condition before a test fails."""

# Stops its servers when its standard input is closed; after Ctrl-C it queries the database first.
OWNER = """
import asyncio, json, signal, subprocess, sys
from pathlib import Path
import asyncpg
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres

async def main(folder):
    loop = asyncio.get_running_loop()
    ended, interrupted = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, lambda: (interrupted.set(), ended.set()))
    async with (
        postgres(folder / "postgres") as url,
        kafka(log_path=folder / "kafka.log") as address,
    ):
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        # Inherits every file descriptor that a child can inherit.
        other = subprocess.Popen(command, stdout=subprocess.DEVNULL, close_fds=False)
        print(json.dumps({"url": url, "kafka": address, "other": other.pid}), flush=True)
        loop.add_reader(sys.stdin.fileno(), ended.set)
        await ended.wait()
        loop.remove_reader(sys.stdin.fileno())
        if interrupted.is_set():
            connection = await asyncpg.connect(url)
            print(await connection.fetchval("SELECT 'still there'"), flush=True)
            await connection.close()
        other.kill()
        other.wait()

asyncio.run(main(Path(sys.argv[1])))
"""

# Prints whether a server can be started on a folder.
STARTER = """
import asyncio, sys
from pathlib import Path
from cli.sandbox.errors import SandboxError
from cli.sandbox.postgres import postgres

async def main(folder):
    try:
        async with postgres(folder / "postgres"):
            print("started")
    except SandboxError as error:
        print(error)

asyncio.run(main(Path(sys.argv[1])))
"""


class Ordinary(NamedTuple):
    """A user without privileges, a Python that this user can run, and the user's own folder."""

    python: str
    uid: int
    gid: int
    folder: Path


class Owner(NamedTuple):
    """A process that owns a PostgreSQL and a Kafka broker."""

    process: asyncio.subprocess.Process
    url: str
    kafka: str
    other: psutil.Process
    """A child of the owner that is not a server."""
    servers: list[psutil.Process]
    """Watchdogs, servers and their children."""

    def watchdogs(self) -> list[psutil.Process]:
        """The processes between the owner and its servers."""
        return [p for p in self.servers if p.ppid() == self.process.pid]

    def postmaster(self) -> psutil.Process:
        """PostgreSQL's main process."""
        (found,) = [p for g in self.watchdogs() for p in g.children() if p.name() == "postgres"]
        return found

    async def servers_are_gone(self) -> None:
        """Return when no server is running and their ports are free."""
        await until(lambda: not any(is_alive(p) for p in self.servers))
        for port in (port_of(self.url), port_of(self.kafka)):
            assert not await is_listening(port)


@asynccontextmanager
async def owner(folder: Path, ordinary: Ordinary | None = None) -> AsyncIterator[Owner]:
    """Run an owner of both servers, in its own process group, while the block runs."""
    async with started(OWNER, folder, ordinary) as process:
        printed_json = json.loads(await printed(process))
        other = psutil.Process(printed_json["other"])
        family = psutil.Process(process.pid).children(recursive=True)
        servers = [p for p in family if p.pid != other.pid]
        try:
            yield Owner(process, printed_json["url"], printed_json["kafka"], other, servers)
        finally:
            if is_alive(other):
                other.kill()


@asynccontextmanager
async def started(
    code: str, folder: Path, ordinary: Ordinary | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python code in its own process; the code must end when its standard input is closed."""
    python, uid, gid = ordinary[:3] if ordinary else (sys.executable, None, None)
    process = await asyncio.create_subprocess_exec(
        *(python, "-c", code, str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env=ENVIRONMENT | {"HOME": str(folder)},
        start_new_session=True,
        user=uid,
        group=gid,
        extra_groups=None if gid is None else [gid],
    )
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


async def printed(process: asyncio.subprocess.Process) -> str:
    """The next line that the process prints; empty if it ends first."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().rstrip()


@contextmanager
def ordinary_user() -> Iterator[Ordinary | str]:
    """The user `nobody` with a Python and a folder, or the reason why there is no such user."""
    if os.geteuid() != 0:
        return (yield "only root can start a process as another user")
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="ordinary-"))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    try:
        for python in filter(None, (sys.executable, shutil.which("python3", path=os.defpath))):
            ordinary = Ordinary(python, nobody.pw_uid, nobody.pw_gid, folder)
            if _can_run(ordinary):
                return (yield ordinary)
        return (yield "no Python here that an ordinary user can run with what is installed")
    finally:
        shutil.rmtree(folder)


def _can_run(ordinary: Ordinary) -> bool:
    with suppress(PermissionError):
        done = subprocess.run(
            [ordinary.python, "-c", "import cli.sandbox.kafka, cli.sandbox.postgres"],
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            user=ordinary.uid,
            group=ordinary.gid,
            extra_groups=[ordinary.gid],
            check=False,
        )
        return done.returncode == 0
    return False


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds; fail after `PATIENCE` seconds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def is_listening(port: int) -> bool:
    """Whether the port accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def ask(url: str, statement: str) -> object:
    """The single value that a statement returns, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def port_of(address: str) -> int:
    """The port of `postgresql://…:PORT/…` or `host:PORT`."""
    port = urlsplit(address if "//" in address else f"//{address}").port
    assert port is not None
    return port
