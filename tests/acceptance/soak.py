"""`make soak`: the long forms of tests, each for a limited time, and a table at the end.

Runs every module `soak_*.py` of this folder, a chaos run with 50 clients of the feed, the feed with
a small tail in memory, and the tests that are marked `soak`. Run as
`python -m tests.acceptance.soak`, or with names of parts:
`python -m tests.acceptance.soak feed chaos`.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT

_FOLDER = Path(__file__).parent
_NO_TESTS = 5
"""Exit code of pytest if nothing is marked."""
_SMALL_TAIL = ("--clients=100", "--kills=4", "--feed-bytes=30000")
_SHOWN = 40
"""Lines of a part's output that the table has."""


class Part(NamedTuple):
    """A program of the soak."""

    name: str
    command: Sequence[str]
    """Arguments of Python."""


def parts() -> list[Part]:
    """Every part: the modules, chaos with clients, and the marked tests."""
    return [
        *(_module(path) for path in sorted(_FOLDER.glob("soak_*.py"))),
        Part("chaos", ("-m", "tests.acceptance.chaos", "--seeds=1", "--faults=100", "--feeds=50")),
        Part("tail", (*_module(_FOLDER / "soak_feed.py").command, *_SMALL_TAIL)),
        Part("marked", ("-m", "pytest", "-m", "soak")),
    ]


def _module(path: Path) -> Part:
    name = path.stem.removeprefix("soak_")
    if '__name__ == "__main__"' in path.read_text("utf-8"):
        return Part(name, ("-m", f"tests.acceptance.{path.stem}"))
    return Part(name, ("-m", "pytest", str(path)))


class Result(NamedTuple):
    """The end of a part."""

    part: Part
    outcome: str
    """`passed`, or what happened instead."""
    minutes: float
    output: str

    def is_good(self) -> bool:
        """Whether the part passed."""
        return self.outcome == "passed"


def _run(part: Part, minutes: float) -> Result:
    print(f"{part.name}: python {' '.join(part.command)}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *part.command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=60 * minutes)
        code = process.returncode
        outcome = "passed" if code in (0, _NO_TESTS) else f"ended with {code}"
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate()
        outcome = f"did not end within {minutes:g} minutes"
    print(output, flush=True)
    return Result(part, outcome, (time.monotonic() - began) / 60, output)


def main() -> int:
    """Return 0 if every part passed."""
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(p.name for p in known))
    parser.add_argument("--minutes", type=float, default=30.0, help="time limit of each part")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - {part.name for part in known}:
        parser.error(f"there is no part named {min(unknown)}")
    results = [
        _run(part, chosen.minutes)
        for part in known
        if not chosen.parts or part.name in chosen.parts
    ]
    for result in results:
        print(f"\n{result.part.name}\n")
        print("\n".join(result.output.splitlines()[-_SHOWN:]))
    print()
    for result in results:
        print(f"  {result.part.name:<12}{result.minutes:>8.1f} min  {result.outcome}")
    return 0 if all(result.is_good() for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
