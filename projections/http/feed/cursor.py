"""Cursors: `<log id>:<position>:<first 8 hex digits of that event's message id>`."""

import re
from typing import NamedTuple
from uuid import UUID

_CURSOR = re.compile(
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):(\d{1,19}):([0-9a-f]{8})",
    re.ASCII,
)
_BEFORE_ALL = "0" * 8
MAX_POSITION = 2**63 - 1
"""The last position that a log may have; the text of a cursor may name later ones."""


class Cursor(NamedTuple):
    """The last event of a subscriber. `ce_source`, `ce_position` and `ce_id` give the same."""

    log_id: UUID
    position: int
    mark: str
    """The first 8 hex digits of the event's message id; zeros at position 0."""

    def __str__(self) -> str:
        return f"{self.log_id}:{self.position}:{self.mark}"


def start_of(log_id: UUID) -> Cursor:
    """The cursor before the first event."""
    return Cursor(log_id, 0, _BEFORE_ALL)


def cursor_at(log_id: UUID, position: int, message_id: UUID) -> Cursor:
    """The cursor of an event."""
    return Cursor(log_id, position, message_id.hex[:8])


def parse_cursor(text: str) -> Cursor | None:
    """Read a cursor; None if the text is no cursor."""
    found = _CURSOR.fullmatch(text.strip())
    if found is None:
        return None
    return Cursor(UUID(found[1]), int(found[2]), found[3])
