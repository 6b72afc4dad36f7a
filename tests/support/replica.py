"""A streaming replica of a real PostgreSQL, which can be made to lag."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from cli.sandbox.binaries import cache_folders, installed_site, reachable_programs, server_user
from cli.sandbox.postgres import postgres
from tests.support.processes import PATIENCE


class Replica:
    """A hot standby. Create it with `streaming_replica`."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def pause(self) -> None:
        """Replay nothing from now on."""
        await self._call("pg_wal_replay_pause")
        async with asyncio.timeout(PATIENCE):
            while await self._call("pg_get_wal_replay_pause_state") != "paused":
                pass

    async def resume(self) -> None:
        """Replay what has come meanwhile, and everything from now on."""
        await self._call("pg_wal_replay_resume")

    async def promote(self) -> None:
        """Make it a primary of its own."""
        assert await self._call("pg_promote")

    async def _call(self, function: str) -> object:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(f"SELECT {function}()")
        finally:
            await connection.close()


@asynccontextmanager
async def streaming_replica(primary_url: str, folder: Path) -> AsyncIterator[Replica]:
    """Copy a running server, and follow it while the block runs.

    Args:
        primary_url: of its superuser.
        folder: an existing folder for the data of the replica.
    """
    user = server_user()
    programs = reachable_programs(user, installed_site(), cache_folders())
    data = folder / "replica"
    data.mkdir(mode=0o700)
    backup = await asyncio.create_subprocess_exec(
        programs / "pg_basebackup",
        *("--dbname", primary_url, "--pgdata", data / "cluster"),
        *("--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await backup.communicate()
    assert backup.returncode == 0, said.decode()
    if user is not None:
        for path in (data / "cluster", *(data / "cluster").rglob("*")):
            shutil.chown(path, user.uid, user.gid)
    async with postgres(data, settings={"fsync": "off"}) as url:
        yield Replica(url)
