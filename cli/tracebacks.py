"""Short tracebacks: the frames of our code and the innermost, and messages without values."""

import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

from contracts.error_text import OUR_PACKAGES, describe_error

_LONGEST_CHAIN = 8
"""Exceptions behind an exception, and groups within groups."""
_MOST_MEMBERS = 8
_MOST_FRAMES = 12


def short_traceback(error: BaseException) -> str:
    """Return an exception with its causes and the members of its group, the cause first.

    It never holds a local variable, a note, or a value that a message quotes.
    """
    return "\n".join(_lines(error, _LONGEST_CHAIN))


def _lines(error: BaseException, depth: int) -> Iterator[str]:
    before = _before(error)
    if before is not None and depth:
        yield from _lines(before, depth - 1)
        yield "which led to:"
    yield "Traceback (most recent call last):"
    yield from _frames(error.__traceback__)
    yield describe_error(error)
    if isinstance(error, BaseExceptionGroup) and depth:
        for number, member in enumerate(error.exceptions[:_MOST_MEMBERS], start=1):
            yield f"  member {number} of {len(error.exceptions)}:"
            yield from (f"  {line}" for line in _lines(member, depth - 1))


def _before(error: BaseException) -> BaseException | None:
    """The exception that was being handled, unless `error` wraps it and so repeats it."""
    if hasattr(error, "orig"):  # SQLAlchemy's wrapper of a driver's exception
        return None
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _frames(tb: TracebackType | None) -> Iterator[str]:
    frames = list(traceback.walk_tb(tb))
    kept = [found for found in frames[:-1] if _is_ours(found[0])] + frames[-1:]
    for entry in traceback.StackSummary.extract(iter(kept[-_MOST_FRAMES:])).format():
        yield from entry.splitlines()


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in OUR_PACKAGES
