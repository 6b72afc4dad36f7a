"""Progress of long work: a bar on a terminal, else lines on standard error, or JSON lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from cli.render.answer import print_json
from projections.rebuild.fill import FillProgress

_BETWEEN_LINES = 2.0
"""Seconds."""


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while the block runs, if that is a terminal.

    The function that it yields takes what is done and the total.
    """
    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class RebuildProgress:
    """Shows how far a rebuild is."""

    def __init__(self, *, as_json: bool, bar: Progress | None) -> None:
        self._as_json = as_json
        self._bar = bar
        self._task = None if bar is None else bar.add_task("events", total=None, pace="")
        self._next_line = 0.0

    def step(self, text: str) -> None:
        """Show which step begins."""
        if self._as_json:
            print_json({"step": text})
        elif self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def report(self, filled: FillProgress) -> None:
        """Show how far the current filling is; without a terminal a line every two seconds."""
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
        if self._as_json:
            print_json(filled.to_json())
        else:
            print(
                f"{filled.percent:5.1f} %  position {filled.position} of {filled.head}, "
                f"{filled.events_per_second:,.0f} events/s, {filled.remaining:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def rebuild_progress(*, as_json: bool) -> Iterator[RebuildProgress]:
    """A bar on standard error if it is a terminal, else lines there; JSON on standard output."""
    console = Console(stderr=True, highlight=False)
    if as_json or not console.is_terminal:
        yield RebuildProgress(as_json=as_json, bar=None)
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield RebuildProgress(as_json=as_json, bar=bar)
