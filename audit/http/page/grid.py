"""A day of a schedule as a grid of times and rooms. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from projections.http.models import Day, SessionView


class GridRow(NamedTuple):
    """The sessions that start at one time: a cell per room."""

    time: str
    """Local, such as 10:00."""
    cells: tuple[tuple[SessionView, ...], ...]


class Grid(NamedTuple):
    """One day."""

    date: str
    rooms: tuple[str, ...]
    rows: tuple[GridRow, ...]


def grid_of(day: Day) -> Grid:
    """Arrange a day: a row for each start, in time; a column for each room, in the rooms' order."""
    starts = sorted({s.starts_at for room in day.rooms for s in room.sessions})
    rows = [
        GridRow(
            time=_local_time(day, starts_at),
            cells=tuple(
                tuple(s for s in room.sessions if s.starts_at == starts_at) for room in day.rooms
            ),
        )
        for starts_at in starts
    ]
    return Grid(str(day.date), tuple(room.name for room in day.rooms), tuple(rows))


def _local_time(day: Day, starts_at: object) -> str:
    return next(
        s.starts_at_local[11:16]
        for room in day.rooms
        for s in room.sessions
        if s.starts_at == starts_at
    )


class Bar(NamedTuple):
    """One sync in the chart of the history."""

    x: int
    label: str
    parts: tuple[tuple[str, int, int], ...]
    """Class, y and height of each part, from the bottom."""


_ADDED, _UPDATED = ("added", "restored"), ("updated", "repeated")
_PARTS = (("added", _ADDED), ("updated", _UPDATED), ("removed", ("withdrawn", "skipped")))
COLUMNS = (
    ("Added", _ADDED),
    ("Updated", _UPDATED),
    *((name.capitalize(), (name,)) for name in ("skipped", "withdrawn", "withheld")),
)
"""The columns of the history and what each counts: together as many as the chart shows."""
CHART_HEIGHT = 120
BAR_WIDTH = 24


def chart_of(runs: Sequence[dict[str, dict[str, int]] | None], labels: Sequence[str]) -> list[Bar]:
    """One bar per sync with the changes of its sessions, scaled to the largest; None: no counts."""
    numbers = [
        [sum(run["sessions"].get(name, 0) for name in names) if run else 0 for _, names in _PARTS]
        for run in runs
    ]
    largest = max((sum(each) for each in numbers), default=0) or 1
    bars = []
    for index, (each, label) in enumerate(zip(numbers, labels, strict=True)):
        y, parts = CHART_HEIGHT, []
        for (name, _), number in zip(_PARTS, each, strict=True):
            height = round(number * CHART_HEIGHT / largest)
            y -= height
            parts.append((name, y, height))
        bars.append(Bar(index * BAR_WIDTH, label, tuple(parts)))
    return bars
