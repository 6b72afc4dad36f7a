"""Reading the ids of a document: text or numbers there, always text here."""

from worker.rules.document import Id
from worker.rules.spelling import canonical_id
from worker.rules.text import clean

MAX_ID_BYTES = 1000
"""Longest Sessionize id: ids are keys of rows and appear in warnings. Real ones have up to 36."""


def read_id(raw: Id) -> str:
    """Return an id as clean text, and a GUID in lower case.

    Raises:
        ValueError: the id is longer than `MAX_ID_BYTES`.
    """
    sessionize_id = clean(str(raw))
    if len(sessionize_id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"an id in it is longer than {MAX_ID_BYTES} bytes")
    return canonical_id(sessionize_id)


def usable_id(raw: Id) -> str | None:
    """Return an id that can identify an element; None if it is empty or too long."""
    try:
        return read_id(raw) or None
    except ValueError:
        return None
