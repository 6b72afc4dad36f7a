"""The data folder of a local PostgreSQL: created whole, and used by one owner at a time."""

import asyncio
import fcntl
import logging
import os
import pwd
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cli.sandbox.errors import SandboxError
from cli.sandbox.watched_server import User, watched_server

logger = logging.getLogger(__name__)

# A process may enter its own working directory even if it cannot enter the folders above. That is
# why PostgreSQL, started in its data directory, works below closed folders such as `/root`.
WORKING_DIRECTORY = "/proc/self/cwd" if sys.platform == "linux" else "."

SUPERUSER = "postgres"

_RELEASE_SECONDS = 20.0
"""Longer than a watchdog waits for the server of a killed owner to end."""
_LOOK_SECONDS = 0.05
_MEBIBYTE = 1024 * 1024
_NEEDED_MEBIBYTES = 48
"""A new cluster with our database has 40 MiB."""
_OTHER_FOLDER = "set SPREAVIEW_DATA_DIR to another folder"


@asynccontextmanager
async def claim_folder(folder: Path) -> AsyncIterator[int]:
    """Own the folder exclusively while the block runs; create it, private, if it is missing.

    Yields a file descriptor that every process working on the data must inherit: the next owner
    waits until the last of these processes has ended. An owner can therefore rely on the fact that
    no earlier server is running.

    Raises:
        SandboxError: another owner is using the folder, it belongs to another user, it cannot be
            used, or the servers of a dead owner do not end.
    """
    owner, servers = _open_locks(folder)
    try:
        if not _lock(owner):
            raise SandboxError(
                f"{folder} is in use by another process. Remedy: stop that one, or {_OTHER_FOLDER}"
            )
        if not _lock(servers):
            logger.info("waiting for the servers of an earlier owner of %s to end", folder)
            await _lock_in_time(servers, folder)
        yield servers
    finally:
        os.close(servers)
        os.close(owner)


async def ensure_cluster(
    folder: Path, programs: Path, user: User | None, environment: dict[str, str], lock: int
) -> Path:
    """The data directory in a claimed folder; a missing one is created whole or not at all.

    Raises:
        SandboxError: the directory belongs to another user or cannot be created, for example
            because the disk is full.
    """
    cluster = folder / "cluster"
    if await asyncio.to_thread(cluster.exists):
        _check_owner(cluster, user)
        # No server is running, since we own the folder: a pid file is a leftover. PostgreSQL would
        # refuse to start if that process id now belonged to any other process.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        return cluster
    _check_space(folder)
    making = folder / "cluster.new"
    await asyncio.to_thread(_make_empty, making, user)
    async with watched_server(
        "initdb",
        [
            *(programs / "initdb", "-D", WORKING_DIRECTORY, "--no-sync"),
            *("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"),
        ],
        log_path=folder / "initdb.log",
        user=user,
        cwd=making,
        environment=environment,
        keep_open=[lock],
    ) as initdb:
        code = await initdb.ended()
        if code != 0:
            raise initdb.failure(f"failed (exit code {code})")
    making.rename(cluster)
    return cluster


async def _lock_in_time(servers: int, folder: Path) -> None:
    deadline = time.monotonic() + _RELEASE_SECONDS
    while not _lock(servers):
        if time.monotonic() > deadline:
            raise SandboxError(
                f"a server without an owner is still using {folder}. Remedy: end the process "
                f"named in {folder / 'cluster' / 'postmaster.pid'}, or {_OTHER_FOLDER}"
            )
        await asyncio.sleep(_LOOK_SECONDS)


def _open_locks(folder: Path) -> tuple[int, int]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
        if owner != os.geteuid():
            raise SandboxError(
                f"{folder} belongs to user {_name(owner)}, and this runs as "
                f"{_name(os.geteuid())}. Remedy: run this as {_name(owner)}, or {_OTHER_FOLDER}, "
                "or delete the folder with its data"
            )
        first = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return first, os.open(folder / "servers.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except BaseException:
            os.close(first)
            raise
    except OSError as error:
        raise SandboxError(
            f"cannot use the folder {folder}: {error.strerror}. Remedy: {_OTHER_FOLDER}"
        ) from error


def _lock(descriptor: int) -> bool:
    """Take the lock if it is free; the kernel releases it when its last holder ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_space(folder: Path) -> None:
    """Refuse a disk that is too full: initdb would be aborted without naming the reason."""
    free = shutil.disk_usage(folder).free // _MEBIBYTE
    if free < _NEEDED_MEBIBYTES:
        raise SandboxError(
            f"No space left on device: {folder} has {free} MiB, and a new database needs "
            f"{_NEEDED_MEBIBYTES} MiB. Remedy: free some space, or {_OTHER_FOLDER}"
        )


def _check_owner(cluster: Path, user: User | None) -> None:
    owner = cluster.stat().st_uid
    expected = user.uid if user else os.geteuid()
    if owner != expected:
        raise SandboxError(
            f"{cluster} belongs to user {_name(owner)}, and PostgreSQL would run as "
            f"{_name(expected)}. Remedy: chown -R {_name(expected)} {cluster}, or {_OTHER_FOLDER}"
        )


def _make_empty(making: Path, user: User | None) -> None:
    shutil.rmtree(making, ignore_errors=True)  # left over from an interrupted attempt
    try:
        making.mkdir(mode=0o700)
        if user is not None:
            os.chown(making, user.uid, user.gid)
    except OSError as error:
        raise SandboxError(f"cannot make {making}: {error.strerror}") from error


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
