"""Our command in processes of its own that do not import it again: many calls in little time."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

from cli.main import SECTIONS
from tests.support.processes import PATIENCE

_LATE = frozenset({"doctor"})
"""Its time runs from the import of its module."""
_MODULES = [
    f"cli.commands.{command.module}"
    for part in SECTIONS.values()
    for name, command in part.items()
    if name not in _LATE
]
_FORKING = multiprocessing.get_context("forkserver")


class Ended(NamedTuple):
    """A command that has ended."""

    code: int | None
    output: str
    """Standard output, then standard error."""


def run_forked(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, given: str = ""
) -> Ended:
    """Run a command until it ends; `given` is its standard input."""
    with _started(arguments, env, folder, given) as (process, outputs):
        process.join(PATIENCE)
        return Ended(process.exitcode, _text(outputs))


def serve_forked(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, ready: str
) -> Ended:
    """Run a service until its output has a text, and stop it with SIGTERM."""
    with _started(arguments, env, folder, "") as (process, outputs):
        for _ in range(int(PATIENCE / 0.05)):
            if ready in _text(outputs) or process.exitcode is not None:
                break
            process.join(0.05)
        process.terminate()
        process.join(PATIENCE)
        return Ended(process.exitcode, _text(outputs))


@contextmanager
def _started(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, given: str
) -> Iterator[tuple[ForkServerProcess, tuple[Path, Path]]]:
    _FORKING.set_forkserver_preload([__name__, *_MODULES])
    outputs = folder / ".stdout", folder / ".stderr"
    process = _FORKING.Process(target=_main, args=(arguments, dict(env), folder, given, outputs))
    for path in outputs:
        path.write_text("")
    process.start()
    try:
        yield process, outputs
    finally:
        process.kill()
        process.join()


def _main(
    arguments: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    given: str,
    outputs: Sequence[Path],
) -> None:
    """Become the command."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    reading, writing = os.pipe()
    os.write(writing, given.encode())
    os.close(writing)
    os.dup2(reading, 0)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.stdin = open(0)  # noqa: SIM115  # for the rest of the process
    sys.argv = ["spreaview-sync", *arguments]
    from cli.start import main

    main()


def _text(paths: Sequence[Path]) -> str:
    return "".join(path.read_text("utf-8", "replace") for path in paths)
