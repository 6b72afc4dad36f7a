"""Becomes another program that does not outlive its parent, where the system can see to it.

Run as `python leash.py PARENT-PID program argument …`. A program of its own, since code between
fork and exec is not safe in a test run that has threads. Imports nothing of ours.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, argv: list[str]) -> None:
    """Execute the program. On Linux it is killed when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            sys.exit(1)
    os.execv(argv[0], argv)  # keeps the wish


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
