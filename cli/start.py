"""The start of the program: Ctrl-C ends it immediately, also while modules are imported."""

import gc
import os
import signal
import sys
import time

BEGAN = time.monotonic()
"""The start of the process, before anything of the program was imported."""


_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""The standard streams in the order of their descriptors, and how they are opened."""


def main() -> None:
    """Import the command line and run it.

    Until a command begins its work, SIGINT ends the process without a traceback. A shell reports
    that as exit code 130. `cli.command` takes the signal over then. It also starts the garbage
    collector, since imports only make objects that stay.
    """
    _open_missing_streams()
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run

    run()


def _open_missing_streams() -> None:
    """Open the null device as each standard stream that the caller has closed, as with `>&-`.

    Else the next file or socket would become the stream, and `print` would use standard output
    for errors.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == descriptor:
                os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(opened, mode, encoding="utf-8"))
