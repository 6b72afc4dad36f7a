"""Nothing is left running, however the owner dies.

    python -m cli.sandbox.guardian STOP_SIGNAL UID|- COMMAND …

A guardian runs one server and reads its own standard input, the other end of which only the owner
has. At its end (the owner has closed it, or is dead) the guardian stops the server: by the signal
given, by SIGKILL if that takes too long. Should the guardian itself be killed, the kernel kills the
server (on Linux). It ends with the server's exit code.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cli.sandbox.errors import SandboxError
from cli.sandbox.privileges import become, die_with_parent

_STOP_SECONDS = 10.0
_TAIL_BYTES = 4000


class Guarded:
    """A server under guard, as its owner sees it."""

    def __init__(self, name: str, guardian: asyncio.subprocess.Process, log_path: Path) -> None:
        self._name = name
        self._guardian = guardian
        self._log_path = log_path

    @property
    def is_running(self) -> bool:
        """Whether the server is there."""
        return self._guardian.returncode is None

    def last_words(self) -> str:
        """The end of what the server has logged."""
        with self._log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            return log.read().decode(errors="replace").strip()

    def failure(self) -> SandboxError:
        """The error for a server that does not do its part."""
        return SandboxError(f"{self._name} does not run. It said last:\n{self.last_words()}")


@asynccontextmanager
async def guarded(
    name: str,
    command: Sequence[str],
    *,
    log_path: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    uid: int | None = None,
) -> AsyncIterator[Guarded]:
    """Run a server while the block runs, as `uid` if given; it is gone when the block is left."""
    with log_path.open("ab") as log:
        guardian = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.sandbox.guardian"),
            *(stop_signal.name, "-" if uid is None else str(uid), *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parents[2],
            start_new_session=True,  # Ctrl-C is for the owner, who stops the servers in order
        )
    try:
        yield Guarded(name, guardian, log_path)
    finally:
        if guardian.stdin is not None:
            guardian.stdin.close()
        await guardian.wait()


def _guard(stop_signal: signal.Signals, uid: int | None, command: Sequence[str]) -> int:
    def prepare() -> None:
        if uid is not None:
            become(uid)
        die_with_parent()

    # The preparation is of our own making and takes no lock: safe between fork and exec here,
    # where there is one thread.
    server = subprocess.Popen(  # noqa: S603 (the owner's command)
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=prepare,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        cwd="/",
    )
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.send_signal(stop_signal)
    try:
        return server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


def _end_with(server: subprocess.Popen[bytes]) -> None:
    os._exit(server.wait() & 0xFF)


if __name__ == "__main__":
    for ours in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ours, signal.SIG_IGN)
    sys.exit(
        _guard(
            signal.Signals[sys.argv[1]],
            None if sys.argv[2] == "-" else int(sys.argv[2]),
            sys.argv[3:],
        )
    )
