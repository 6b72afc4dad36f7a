"""Errors for damaged contents of the log: each is a sentence that names the place.

The sentences quote no stored value, because it may be personal.
"""

from typing import NamedTuple
from uuid import UUID

_VERIFY = "Run spreaview-sync verify to find everything that is damaged."


class DamagedLogError(Exception):
    """A part of the log cannot be read. The text is a sentence for an operator."""


class EventPlace(NamedTuple):
    """The place of an event; a part is None if it is damaged itself."""

    position: int | None
    stream_id: UUID | None
    version: int | None
    type: str | None

    def __str__(self) -> str:
        """The place in words."""
        return (
            f"the event at position {self.position} (version {self.version} of stream "
            f"{self.stream_id}, {self.type})"
        )


class UnreadableEventError(DamagedLogError, ValueError):
    """An event was changed after it was recorded, or a newer program wrote it."""

    def __init__(self, place: EventPlace, reason: str) -> None:
        self.place = place
        self.reason = reason.rstrip(".")
        super().__init__(f"{place} cannot be read: {self.reason}. {_VERIFY}")


class DamagedDocumentError(DamagedLogError):
    """The document behind a run does not match its digest, or cannot be unpacked."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(f"the document {digest} is damaged: {reason}. {_VERIFY}")


class NoLogIdentityError(DamagedLogError):
    """The row of `event_store.log` is missing: the log has neither an id nor a key."""

    def __init__(self) -> None:
        super().__init__(
            "event_store.log has no row, so the log has neither its id nor its key. Remedy: "
            "restore that row from a backup. The checkpoint of the relay and the seals name the id."
        )
