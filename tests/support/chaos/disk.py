"""A small disk for the tables of PostgreSQL that can be full for a while.

Where mounting is allowed, the disk is a tmpfs that holds the tablespace of the database; without
free space, PostgreSQL itself fails to write. Elsewhere triggers raise the same error.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg

from cli.sandbox.binaries import server_user

_SIZE_MIB = 1024
"""Upper limit; only written pages use memory."""
_RAISE_DISK_FULL = """
    CREATE FUNCTION public.raise_disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END $$
"""
_TABLES = """
    SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname = 'event_store' AND tablename IN ('events', 'checkpoints')
       OR schemaname LIKE 'spreaview\\_g%' AND tablename = 'stream_progress'
"""


class Disk(Protocol):
    """A disk that can be full."""

    note: str
    """How it is made full, as a sentence."""

    async def prepare(self, url: str) -> None:
        """Put an empty database on the disk; `url` leads to another database of the server."""

    async def full(self, url: str, seconds: float) -> None:
        """Leave no space for a while; `url` leads to the database."""


class TmpfsDisk:
    """A tmpfs whose size is reduced to the used space."""

    note = "disk full: a tmpfs with the tablespace, reduced to its used space"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self, url: str) -> None:
        """Create the tablespace, unless it exists, and the database in it."""
        connection = await asyncpg.connect(url)
        try:
            known = "SELECT EXISTS (SELECT FROM pg_tablespace WHERE spcname = 'small')"
            if not await connection.fetchval(known):
                await connection.execute(
                    f"CREATE TABLESPACE small LOCATION '{self._folder / 'space'}'"
                )
            await connection.execute("DROP DATABASE IF EXISTS spreaview WITH (FORCE)")
            await connection.execute("CREATE DATABASE spreaview TABLESPACE small")
        finally:
            await connection.close()

    async def full(self, url: str, seconds: float) -> None:
        """Reduce the size, and restore it."""
        del url
        try:
            # If a page was written since the look, the reduction is refused.
            while not await self._resize(f"{self._used()}k"):
                pass
            await asyncio.sleep(seconds)
        finally:
            assert await self._resize(f"{_SIZE_MIB}m")

    def _used(self) -> int:
        state = os.statvfs(self._folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize // 1024

    async def _resize(self, size: str) -> bool:
        return await _run("mount", "-o", f"remount,size={size}", str(self._folder))


class TriggeredDisk:
    """Triggers that raise PostgreSQL's error of a full disk."""

    note = "disk full: triggers that raise disk_full, because mounting is not allowed here"

    async def prepare(self, url: str) -> None:
        """Create the database again."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("DROP DATABASE IF EXISTS spreaview WITH (FORCE)")
            await connection.execute("CREATE DATABASE spreaview")
        finally:
            await connection.close()

    async def full(self, url: str, seconds: float) -> None:
        """Create the triggers, and drop them with their function."""
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute(_RAISE_DISK_FULL)
                for row in await connection.fetch(_TABLES):
                    await connection.execute(
                        f"CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON {row[0]} "
                        "FOR EACH STATEMENT EXECUTE FUNCTION public.raise_disk_full()"
                    )
            await asyncio.sleep(seconds)
        finally:
            await connection.execute("DROP FUNCTION IF EXISTS public.raise_disk_full CASCADE")
            await connection.close()


@asynccontextmanager
async def small_disk() -> AsyncIterator[Disk]:
    """Mount a disk while the block runs; where that is not allowed, the disk has triggers."""
    with tempfile.TemporaryDirectory(prefix="chaos-disk-") as name:
        folder, user = Path(name), server_user()
        os.chmod(name, 0o755)  # another user runs the server, if root runs the tests
        if not await _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "tmpfs", name):
            yield TriggeredDisk()
            return
        try:
            (folder / "space").mkdir(mode=0o700)
            if user is not None:
                os.chown(folder / "space", user.uid, user.gid)
            yield TmpfsDisk(folder)
        finally:
            await _run("umount", "-l", name)


async def _run(*command: str) -> bool:
    """Run a program; return whether it succeeded."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return False
    return await process.wait() == 0
