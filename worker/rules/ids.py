"""Reading the ids of a document: text or numbers there, always text here."""

from functools import lru_cache

from worker.rules.document import Id
from worker.rules.spelling import canonical_id
from worker.rules.text import clean

MAX_ID_BYTES = 1000
"""Longest Sessionize id: ids are keys of rows and appear in warnings. Real ones have up to 36."""

_USUAL_LENGTH = 64
"""Ids up to this length are kept: a document repeats each of them several times."""


def read_id(raw: Id) -> str:
    """Return an id as clean text, and a GUID in lower case.

    Raises:
        ValueError: the id is longer than `MAX_ID_BYTES`.
    """
    written = str(raw)
    return _read_usual(written) if len(written) <= _USUAL_LENGTH else _read(written)


def _read(written: str) -> str:
    sessionize_id = clean(written)
    if len(sessionize_id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"an id in it is longer than {MAX_ID_BYTES} bytes")
    return canonical_id(sessionize_id)


_read_usual = lru_cache(maxsize=4096)(_read)


def usable_id(raw: Id) -> str | None:
    """Return an id that can identify an element; None if it is empty or too long."""
    try:
        return read_id(raw) or None
    except ValueError:
        return None
