"""The process of the clients, as the test that asks it has it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from tests.support.feed_load.clients import Question, Report
from tests.support.processes import ROOT

_LEASH = Path(__file__).parents[1] / "kafka" / "leash.py"
_LINE_BYTES = 64 * 1024 * 1024


class ClientsProcess:
    """Many clients of the feed in a process of their own. Create it with `clients_process`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **question: object) -> Report:
        """Ask one `Question`; its clients go on receiving."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = msgspec.convert(question, Question)
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the process of the clients has ended"
        return msgspec.json.decode(line, type=Report)


@asynccontextmanager
async def clients_process(port: int, number: int, token: str) -> AsyncIterator[ClientsProcess]:
    """Run clients of the feed at this port while the block runs.

    One of them never reads. With 0, start clients with the question `follow`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())),
        *(sys.executable, "-m", "tests.support.feed_load.clients", str(port), str(number)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"FEED_TOKEN": token},
        cwd=ROOT,
        limit=_LINE_BYTES,
        start_new_session=True,
    )
    try:
        yield ClientsProcess(process)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
