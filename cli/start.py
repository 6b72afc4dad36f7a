"""The start of the program: Ctrl-C ends it immediately, also while modules are imported."""

import gc
import signal


def main() -> None:
    """Import the command line and run it.

    Until a command begins its work, SIGINT ends the process without a traceback. A shell reports
    that as exit code 130. `cli.command` takes the signal over then. It also starts the garbage
    collector, since imports only make objects that stay.
    """
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run

    run()
