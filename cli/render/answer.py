"""The answer of a command, shown as a table or as JSON."""

import json
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console

_PIPED_COLUMNS = 160
"""Width of tables where standard output is not a terminal."""


class Answer(NamedTuple):
    """The result of a command, in both forms.

    `Answer(status.to_json(), partial(show_status, status), exit_code=0 if status.is_well else 1)`
    """

    json: object
    """JSON-ready: what `to_json` of a result returns."""
    show: Callable[[Console], object]
    """Prints the result for a person."""
    exit_code: int = 0

    def print(self, *, as_json: bool) -> int:
        """Print one of the forms on standard output; returns the exit code."""
        if as_json:
            print_json(self.json)
        else:
            self.show(console())
        return self.exit_code


def sentence(value: object, text: str, exit_code: int = 0) -> Answer:
    """An answer that is one sentence for a person."""
    return Answer(value, lambda _: print(text, flush=True), exit_code)


def print_json(value: object) -> None:
    """Print one JSON value on one line of standard output, in any locale."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not is_unicode), flush=True)


def console() -> Console:
    """Standard output for a person; long lines are wrapped by the terminal, not cut."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_COLUMNS
    return Console(highlight=False, emoji=False, width=width)


class JsonArray:
    """A JSON array on standard output whose elements are printed one by one."""

    def __init__(self) -> None:
        self.length = 0

    def add(self, element: object) -> None:
        """Print the next element."""
        print("," if self.length else "[", end="")
        print_json(element)
        self.length += 1

    def end(self) -> None:
        """Close the array."""
        print("]" if self.length else "[]")
