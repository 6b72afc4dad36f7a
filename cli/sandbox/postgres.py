"""A real PostgreSQL from a wheel, with its data in a folder."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

import asyncpg

from cli.sandbox.binaries import cache_folders, installed_site, reachable_programs, server_user
from cli.sandbox.cluster import SUPERUSER, WORKING_DIRECTORY, claim_folder, ensure_cluster
from cli.sandbox.ports import LOOPBACK, on_free_port
from cli.sandbox.watched_server import User, watched_server

_READY_SECONDS = 60.0  # recovery after a kill can take long
_CONNECT_SECONDS = 10.0
_STATUS_LINE = 7
_OUR_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class _Installation(NamedTuple):
    """The parts of a server that stay the same while several ports are tried."""

    programs: Path
    cluster: Path
    log_path: Path
    user: User | None
    lock: int
    environment: Mapping[str, str]


@asynccontextmanager
async def postgres(
    data_dir: Path,
    *,
    port: int | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    database: str = "spreaview",
    programs: Path | None = None,
) -> AsyncIterator[str]:
    """Run a server while the block runs; yields `postgresql://postgres@127.0.0.1:PORT/<database>`.

    The server accepts queries when the block begins, on 127.0.0.1 only, from every local user.
    Committed data survive every end, also a kill of all processes. Root runs it as `nobody`,
    without changing the permissions of existing folders.

    Args:
        data_dir: holds the data and the server's log; created, private, if it is missing.
        port: the port to listen on; a free one by default.
        settings: PostgreSQL's own settings by name, for example `fsync`.
        database: created if it is missing.
        programs: the folder with `initdb` and `postgres`; the wheel's by default.

    Raises:
        PortTakenError: the given port is taken.
        SandboxError: the server does not start or is not installed, or another process or user has
            the folder.
    """
    user = server_user()
    async with claim_folder(data_dir) as lock:
        if programs is None:
            programs = reachable_programs(user, installed_site(), cache_folders())
        environment = _environment()
        cluster = await ensure_cluster(data_dir, programs, user, environment, lock)
        installation = _Installation(
            programs, cluster, data_dir / "server.log", user, lock, environment
        )
        server = partial(_server, installation, _OUR_SETTINGS | dict(settings), database)
        async with on_free_port(server, port) as chosen:
            yield f"postgresql://{SUPERUSER}@{LOOPBACK}:{chosen}/{quote(database, safe='')}"


@asynccontextmanager
async def _server(
    installation: _Installation, settings: Mapping[str, str], database: str, port: int
) -> AsyncIterator[None]:
    argv: list[str | Path] = [installation.programs / "postgres", "-D", WORKING_DIRECTORY]
    for name, value in {**settings, "port": str(port)}.items():
        argv += ["-c", f"{name}={value}"]
    async with watched_server(
        "PostgreSQL",
        argv,
        log_path=installation.log_path,
        user=installation.user,
        stop_signal=signal.SIGINT,  # disconnects clients, but completes all writes
        cwd=installation.cluster,
        environment=installation.environment,
        keep_open=[installation.lock],
    ) as server:
        await server.ready(partial(_is_ready, installation.cluster), seconds=_READY_SECONDS)
        try:
            await _ensure_database(port, database)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise server.failure(f"does not answer: {error}") from error
        yield


async def _is_ready(cluster: Path) -> bool:
    """Whether the server has written "ready" into its own folder, where no other server writes."""
    try:
        lines = (cluster / "postmaster.pid").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


async def _ensure_database(port: int, database: str) -> None:
    connection = await asyncpg.connect(
        host=LOOPBACK,
        port=port,
        user=SUPERUSER,
        database="postgres",
        ssl=False,
        timeout=_CONNECT_SECONDS,
    )
    try:
        known = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
        if not await connection.fetchval(known, database):
            quoted = database.replace('"', '""')
            await connection.execute(f'CREATE DATABASE "{quoted}"')
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)


def _environment() -> dict[str, str]:
    """Our environment without variables that change a server or translate its messages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LANG"))
    }
    return {**kept, "LC_ALL": "C"}
