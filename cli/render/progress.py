"""How the filling of a generation is shown: a bar on a terminal, else lines, or JSON lines."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from projections.rebuild.fill import FillProgress

_BETWEEN_LINES = 2.0
"""Seconds."""


class Told:
    """Takes what a rebuild tells."""

    def __init__(self, *, as_json: bool, bar: Progress | None) -> None:
        self.as_json = as_json
        self._bar = bar
        self._task = None if bar is None else bar.add_task("events", total=None, pace="")
        self._next_line = 0.0

    def line(self, **fields: object) -> None:
        """A JSON line on standard output."""
        print(json.dumps(fields), flush=True)

    def say(self, what: str) -> None:
        """What is done now."""
        if self.as_json:
            self.line(step=what)
        elif self._bar is not None:
            self._bar.console.print(what)
        else:
            print(what, file=sys.stderr, flush=True)

    def report(self, filled: FillProgress) -> None:
        """How far it is."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                total=filled.head,
                completed=filled.position,
                pace=f"{filled.events_per_second:,.0f} events/s",
            )
            return
        now = time.monotonic()
        if now < self._next_line and filled.position < filled.head:
            return
        self._next_line = now + _BETWEEN_LINES
        if self.as_json:
            self.line(**filled.to_json())
        else:
            print(
                f"{filled.percent:5.1f} %  position {filled.position} of {filled.head}, "
                f"{filled.events_per_second:,.0f} events/s, {filled.remaining:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def telling(*, as_json: bool) -> Iterator[Told]:
    """A bar on standard error if it is a terminal, else lines there; JSON on standard output."""
    console = Console(stderr=True, highlight=False)
    if as_json or not console.is_terminal:
        yield Told(as_json=as_json, bar=None)
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield Told(as_json=as_json, bar=bar)
