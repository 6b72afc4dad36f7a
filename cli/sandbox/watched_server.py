"""A server that cannot outlive this process: the owner's side of `watchdog.py`."""

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cli.sandbox.errors import PortTakenError, SandboxError

logger = logging.getLogger(__name__)

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_LOOK_SECONDS = 0.02
_TAIL_BYTES = 8192
_PORT_TAKEN = re.compile(r"address (already )?in use|AddrInUse", re.IGNORECASE)


class User(NamedTuple):
    """The user and the only group that a server runs as."""

    uid: int
    gid: int


class WatchedServer:
    """A server that runs under a watchdog."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._name = name
        self._process = process
        self._log_path = log_path
        self.was_ready = False
        """Whether `ready` has returned: it raises an earlier end itself; a later end is logged."""

    @property
    def pid(self) -> int:
        """The watchdog's process id; the server is its only child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs, as far as this process knows yet."""
        return self._process.returncode is None

    async def ended(self) -> int:
        """Wait until the server has ended; its exit code."""
        return await self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log; empty if it wrote none."""
        with self._log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    async def ready(self, check: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Return once the check holds while the server runs.

        Raises:
            PortTakenError: the server ended because its port is taken.
            SandboxError: the server ended, or is not ready in time. Both texts hold the end of its
                log.
        """
        holds = asyncio.create_task(_until(check))
        ended = asyncio.create_task(self.ended())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait({holds, ended}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise self.failure(f"is not ready after {seconds:g} seconds") from None
        finally:
            for task in (holds, ended):
                task.cancel()
            await asyncio.wait({holds, ended})
        if self.is_running:
            holds.result()
            self.was_ready = True
            return
        if _PORT_TAKEN.search(self.log_tail()):
            raise PortTakenError(self._explain("did not start: its port is taken"))
        raise self.failure(f"did not start (exit code {self._process.returncode})")

    def failure(self, what: str = "does not run") -> SandboxError:
        """An error with the given description and the end of the server's log."""
        return SandboxError(self._explain(what))

    def _explain(self, what: str) -> str:
        return f"{self._name} {what}. {self._log_path}:\n{self.log_tail() or '(empty)'}"


@asynccontextmanager
async def watched_server(
    name: str,
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    user: User | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_seconds: float = 10.0,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> AsyncIterator[WatchedServer]:
    """Run a server while the block runs; the server ends even if this process is killed.

    At the end the server receives `stop_signal`, and SIGKILL after `grace_seconds`; it has ended
    when the block is left. It runs in its own session: Ctrl-C reaches only the owner, which then
    stops its servers in order. On Linux it also ends if its watchdog is killed. A process that the
    owner forks without executing a program shares the lifeline: the server then runs until that
    process has ended too.

    Args:
        name: the server's name in messages.
        argv: the program, by its path, and its arguments.
        log_path: receives the server's output; truncated first, its folder created if missing.
        user: the user that runs the server, ours by default; only root can choose.
        stop_signal: the signal for an orderly end.
        grace_seconds: how long the orderly end may take.
        cwd: the working directory; may lie below folders that `user` cannot enter.
        environment: the whole environment; ours by default.
        keep_open: file descriptors that the server inherits, under the same numbers.

    Raises:
        SandboxError: the log cannot be written, or the watchdog cannot be started.
    """
    options = ["--stop-signal", str(int(stop_signal)), "--grace-seconds", str(grace_seconds)]
    if user is not None:
        options += ["--uid", str(user.uid), "--gid", str(user.gid)]
    for descriptor in keep_open:
        options += ["--keep-open", str(descriptor)]
    # No other child inherits either end, so no server holds the lifeline of another.
    lifeline, held = (
        os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    with lifeline, held, _begun(log_path) as log:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(_WATCHDOG), *options, "--", *map(str, argv)),
                stdin=lifeline,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=environment,
                start_new_session=True,
                pass_fds=keep_open,
            )
        except OSError as error:
            raise SandboxError(f"{name} cannot be started: {error}") from error
        server = WatchedServer(name, process, log_path)
        watch = asyncio.create_task(_report_end(server))
        try:
            yield server
        finally:
            watch.cancel()
            held.close()
            await _gone(server, process, grace_seconds + 5)


def _begun(log_path: Path) -> BinaryIO:
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        return log_path.open("wb")
    except OSError as error:
        raise SandboxError(f"cannot write the log {log_path}: {error.strerror}") from error


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    while not await check():  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(_LOOK_SECONDS)


async def _report_end(server: WatchedServer) -> None:
    code = await server.ended()
    if server.was_ready:
        logger.error("%s", server.failure(f"has ended by itself (exit code {code})"))


async def _gone(server: WatchedServer, process: asyncio.subprocess.Process, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await server.ended()
    except TimeoutError:
        logger.error("watchdog %d did not end and is killed", server.pid)
        process.kill()
        await server.ended()
