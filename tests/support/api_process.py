"""The real `spreaview-sync api`, started as users start it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from cli.commands.token import write_token
from projections.http.tokens import Scope
from tests.support.line import Line
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment


class Api(NamedTuple):
    """A running `api`."""

    process: asyncio.subprocess.Process
    url: str
    token: str
    """A token with every scope."""
    logged: Path
    """The file with its standard error."""

    @property
    def headers(self) -> dict[str, str]:
        """The header that every request needs."""
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def api_process(line: Line, folder: Path, **settings: str) -> AsyncIterator[Api]:
    """Run `api` on the servers of a line while the block runs, behind a token file.

    Args:
        line: its database and broker.
        folder: an existing folder for the token file and the log.
        settings: further settings by their names without the prefix.
    """
    tokens, logged = folder / "tokens.json", folder / "api.log"
    token = write_token(tokens, "everything", [Scope.READ, Scope.SYNC, Scope.AUDIT], None)
    given = {
        "database_url": line.addresses.database_url,
        "kafka_bootstrap_servers": line.addresses.kafka.bootstrap_servers,
        "api_tokens_file": str(tokens),
        "data_dir": str(folder / "data"),
    }
    with logged.open("w") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "api"),
            env=environment(**(given | settings)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            words = (await process.stdout.readline()).decode().split()
        assert words[:1] == ["ready"], logged.read_text()
        yield Api(process, words[1].removeprefix("http="), token, logged)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
