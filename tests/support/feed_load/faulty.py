"""The HTTP side with a seeded bug of its feed, to show that the clients notice it.

Run as `python -m tests.support.feed_load.faulty <fault> api`.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from cli.main import main
from projections.http.feed.batch import Batch
from projections.http.feed.pages import FeedReader


def lose() -> None:
    """Drop the first event of each batch of several, as a full queue does."""
    text = Batch.pieces

    def fewer(self: Batch) -> Iterator[bytes]:
        some = self.frames[1:] if len(self.frames) > 1 else self.frames
        return text(Batch(some, self.cursor, self.at_head))

    Batch.pieces = fewer  # type: ignore[method-assign]


def repeat() -> None:
    """Send the last event of each batch twice."""
    text = Batch.pieces

    def more(self: Batch) -> Iterator[bytes]:
        return text(Batch([*self.frames, self.frames[-1]], self.cursor, self.at_head))

    Batch.pieces = more  # type: ignore[method-assign]


def be_silent() -> None:
    """Accept every cursor, also one of another log."""

    async def always(*_: Any) -> bool:
        return True

    FeedReader.knows = always  # type: ignore[method-assign, assignment]


FAULTS: dict[str, Callable[[], None]] = {"lose": lose, "repeat": repeat, "be-silent": be_silent}
"""Seeded bugs by name."""


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
