"""Our processes under kills, stops and restarts; each is started again when it ends."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from tests.support.processes import ROOT

_LEASH = Path(__file__).parents[1] / "kafka" / "leash.py"
_GRACE_SECONDS = 30.0
_AGAIN_SECONDS = 0.5
_BEYOND_SESSION_SECONDS = 0.7
_AWAKE_SECONDS = 1.2
_GOOD_ENDS = (0, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes: an orderly end, an end before signals were handled, a kill by us."""


class Member:
    """A process that is started again after every end, until `close`."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log_path: Path
    ) -> None:
        self.name = name
        self.log_path = log_path
        """File with the output of all starts."""
        self.ended_by_itself: list[int] = []
        """Exit codes of unexpected ends."""
        self.bad_ends: list[str] = []
        """Ends by SIGTERM that were not orderly or not in time."""
        self._command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]
        self._env = dict(env)
        self._more_env: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, or None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def open(self) -> None:
        """Start the process, and keep it running."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep())

    async def kill(self) -> None:
        """Send SIGKILL; the process is started again."""
        self._asked = True
        self._send(self._process, signal.SIGKILL)

    async def pause(self, seconds: float) -> None:
        """Send SIGSTOP, and SIGCONT after some seconds."""
        process = self._process
        self._send(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._send(process, signal.SIGCONT)

    async def restart(self) -> None:
        """Send SIGTERM, as an operator does; the process is started again after its end."""
        self._asked = True
        await self._terminate(self._process)

    async def flap(self, seconds: float, *, session_seconds: float) -> None:
        """Stop and continue the process repeatedly, each time for longer than a session."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.pause(session_seconds + _BEYOND_SESSION_SECONDS)
            await asyncio.sleep(_AWAKE_SECONDS)

    async def update(self, env: Mapping[str, str]) -> None:
        """Restart the process with these variables from now on, as a program is updated."""
        self._env |= env
        await self.restart()

    async def run_with(self, env: Mapping[str, str], seconds: float) -> None:
        """Restart the process with other variables, and after some seconds with its own again."""
        self._more_env = dict(env)
        try:
            await self.restart()
            await asyncio.sleep(seconds)
        finally:
            self._more_env = {}
        await self.restart()

    async def close(self) -> None:
        """End the process, and do not start it again."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._send(self._process, signal.SIGCONT)
        await self._terminate(self._process)

    async def _terminate(self, process: asyncio.subprocess.Process | None) -> None:
        if process is None:
            return
        self._send(process, signal.SIGTERM)
        if not await _ends(process, _GRACE_SECONDS):
            self.bad_ends.append(f"outlived SIGTERM by {_GRACE_SECONDS:g} seconds")
            self._send(process, signal.SIGKILL)
            await process.wait()
        elif process.returncode not in _GOOD_ENDS:
            self.bad_ends.append(f"ended with {process.returncode} at SIGTERM")

    async def _start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env | self._more_env,
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is for the harness, which stops this
            )
        self._asked = False

    async def _keep(self) -> None:
        while self._process is not None:
            code = await self._process.wait()
            if not self._asked:
                self.ended_by_itself.append(code)
                await asyncio.sleep(_AGAIN_SECONDS)
            await self._start()

    @staticmethod
    def _send(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def members(
    names: Mapping[str, Sequence[str]], env: Mapping[str, Mapping[str, str]], folder: Path
) -> AsyncIterator[dict[str, Member]]:
    """Run processes while the block runs, and end them all; `env` is by name, too."""
    async with AsyncExitStack() as stack:
        made: dict[str, Member] = {}
        for name, command in names.items():
            member = Member(name, command, env[name], folder / f"{name}.log")
            stack.push_async_callback(member.close)
            await member.open()
            made[name] = member
        yield made
