"""A process that runs one server and stops it when the server's owner has died.

It is a program of its own (`python watchdog.py … -- server argument …`) and imports no module of
this project. Its standard input is the lifeline: the read end of a pipe whose write end only the
owner holds. When the owner dies, for any reason, the kernel closes that end and the watchdog stops
the server.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

CANNOT_START = 127
"""Exit code if the server cannot be executed; the reason is on standard error."""

_LIFELINE = 0
_STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> int:
    """Run the server until it ends or the lifeline is closed; returns the server's exit code.

    If a signal ended the server, the code is 128 + the signal's number, as in a shell.
    """
    options = _parser().parse_args(arguments)
    wake = _wake_on_signals()
    try:
        server = subprocess.Popen(  # noqa: S603  (the arguments come from the owner)
            options.argv,
            stdin=subprocess.DEVNULL,
            pass_fds=options.keep_open,
            # Safe here: this process has one thread.
            preexec_fn=_in_the_server(options.uid, options.gid, options.stop_signal),
        )
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"cannot start {options.argv[0]}: {error}\n")
        return CANNOT_START
    code = _watch(server, wake, options.stop_signal, options.grace_seconds)
    return code if code >= 0 else 128 - code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="watchdog")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--keep-open", type=int, action="append", default=[])
    parser.add_argument("argv", nargs="+")
    return parser


def _wake_on_signals() -> int:
    """A file descriptor from which the numbers of arriving signals can be read."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGCHLD, *_STOP):
        signal.signal(number, lambda *_: None)  # unlike SIG_IGN, a handler is not inherited
    return readable


def _in_the_server(uid: int | None, gid: int | None, orphaned: int) -> Callable[[], None]:
    """The steps of the child process before it becomes the server."""
    watchdog = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if uid is not None and gid is not None:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if prctl is not None:
            # Last, because a change of uid clears it.
            prctl(_PR_SET_PDEATHSIG, orphaned)
            if os.getppid() != watchdog:  # the watchdog died before that
                os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _watch(
    server: subprocess.Popen[bytes], wake: int, stop_signal: int, grace_seconds: float
) -> int:
    watched = [_LIFELINE, wake]
    deadline: float | None = None
    while server.poll() is None:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], patience)
        stop = wake in readable and not _STOP.isdisjoint(os.read(wake, 512))
        if _LIFELINE in readable and not os.read(_LIFELINE, 512):
            watched.remove(_LIFELINE)
            stop = True
        if stop and deadline is None:
            server.send_signal(stop_signal)
            deadline = time.monotonic() + grace_seconds
        elif deadline is not None and time.monotonic() >= deadline:
            server.kill()
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
