"""A real PgBouncer that pools transactions: Debian's package of that name."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import asyncpg
import pytest

from cli.sandbox.binaries import server_user
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

REQUIRED = "SPREAVIEW_TEST_REQUIRE_PGBOUNCER"

_CONFIG = """\
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = {ignored}
"""


@asynccontextmanager
async def pgbouncer(url: str, *, ignored: str = "extra_float_digits") -> AsyncIterator[str]:
    """The URL of a pooler in front of a database.

    Where it is not installed, the test that asks skips or fails, as the environment says.

    `ignored` are the startup parameters that it drops instead of refusing the connection.
    """
    if (program := shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")) is None:
        program = shutil.which("pgbouncer")
    if program is None:
        _do_without("no pooler: install Debian's package pgbouncer")
    port, server = free_port(), url.rpartition(":")[2].partition("/")[0]
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        config = _write(Path(folder), _CONFIG.format(server=server, port=port, ignored=ignored))
        process = await asyncio.create_subprocess_exec(
            program,
            str(config),
            stderr=asyncio.subprocess.DEVNULL,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
        )
        try:
            pooled = f"postgresql://postgres@127.0.0.1:{port}/{url.rpartition('/')[2]}"
            async with asyncio.timeout(PATIENCE):
                await _until_it_answers(pooled)
            yield pooled
        finally:
            process.terminate()
            await process.wait()


def _do_without(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is {reason}", pytrace=False)
    pytest.skip(reason)


def _write(folder: Path, content: str) -> Path:
    """Write the configuration where the pooler's user can read it."""
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(content, "utf-8")
    return config


async def _until_it_answers(url: str) -> None:
    while True:
        try:
            connection = await asyncpg.connect(url, statement_cache_size=0)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            connection.terminate()
            return
