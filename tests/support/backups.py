"""Backups as an operator makes them: the commands of docs/operations.md, run by a test."""

import subprocess
import time
from pathlib import Path

from tests.support.freeze import program_folder


def back_up(url: str, file: Path) -> float:
    """Dump a database; returns the seconds that it took."""
    return _run("pg_dump", "--format=custom", f"--file={file}", url)


def restore(file: Path, url: str) -> float:
    """Restore a dump into an empty database; returns the seconds that it took."""
    options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    return _run("pg_restore", *options, f"--dbname={url}", str(file))


def _run(program: str, *arguments: str) -> float:
    begun = time.monotonic()
    subprocess.run([str(program_folder() / program), *arguments], check=True, capture_output=True)
    return time.monotonic() - begun
