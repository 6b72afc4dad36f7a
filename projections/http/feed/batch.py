"""Batches: what a client gets next, made once for all clients at the same place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from projections.http.feed.cursor import Cursor
from projections.http.feed.frames import Filter, Frame

PAGE_BYTES = 256 * 1024
"""The size of a page, about."""
_PIECE_BYTES = 64 * 1024
"""The server keeps about this much for a client that does not read, besides its own buffer."""


@dataclass(frozen=True)
class Batch:
    """What comes next."""

    frames: Sequence[Frame]
    cursor: Cursor
    """Where the client is afterwards; beyond the last frame if later events do not concern it."""
    at_head: bool
    """Whether nothing newer was known."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the events as `text/event-stream`, in pieces that bound a client's memory."""
        text = self._text
        if len(text) <= _PIECE_BYTES:
            yield text
            return
        for start in range(0, len(text), _PIECE_BYTES):
            yield text[start : start + _PIECE_BYTES]

    @cached_property
    def _text(self) -> bytes:
        return b"".join([frame.sse for frame in self.frames])


def whole_page(frames: Sequence[Frame], wanted: Filter, limit: int | None = None) -> int:
    """Number of frames up to the end of the outcome in which a page is full.

    Args:
        frames: whole outcomes.
        wanted: selects the frames that count for the limit.
        limit: a page is full with this many events; otherwise by its bytes only.
    """
    size = selected = 0
    for number, frame in enumerate(frames, start=1):
        size += len(frame.sse)
        selected += len(wanted.select((frame,))) if limit is not None else 0
        if frame.ends and (size >= PAGE_BYTES or (limit is not None and selected >= limit)):
            return number
    return len(frames)
