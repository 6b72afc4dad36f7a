"""Events exactly as the log stores them, hash and personal data included.

`Recorded` is the form for readers. This form is for the code that proves, exports and loads a log.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from contracts.canonical import canonical
from contracts.error_text import describe_error
from eventstore import chain
from eventstore.damage import EventPlace, UnreadableEventError
from eventstore.model import BEYOND_THE_CALENDAR, Recorded


class StoredEvent(NamedTuple):
    """A row of `event_store.events` with its row of `event_store.personal_data`, if it has one."""

    stream_id: UUID
    version: int
    position: int
    message_id: UUID
    type: str
    schema_version: int
    data: str
    """JSON, without the personal fields."""
    metadata: str
    """JSON."""
    recorded_at: datetime
    hash: bytes
    subject: UUID | None
    salt: bytes | None
    personal: str | None
    """JSON of the personal fields."""

    @property
    def place(self) -> str:
        """The event as errors name it."""
        return f"version {self.version} of stream {self.stream_id}"

    @property
    def recorded(self) -> Recorded:
        """The event as readers of the log get it."""
        return Recorded(
            self.position,
            self.stream_id,
            self.version,
            self.message_id,
            self.type,
            self.schema_version,
            self.data,
            self.metadata,
            self.recorded_at,
            self.hash,
            self.personal,
        )

    def hash_after(self, previous_hash: bytes) -> bytes:
        """The hash that this content must have after its predecessor's hash."""
        body = chain.body_digest(
            stream_id=self.stream_id,
            version=self.version,
            message_id=self.message_id,
            type=self.type,
            schema_version=self.schema_version,
            data=canonical(msgspec.json.decode(self.data)),
            metadata=canonical(msgspec.json.decode(self.metadata)),
        )
        return chain.link(previous_hash, body, self.recorded_at)


def stored_event_of(row: Sequence[Any]) -> StoredEvent:
    """Return the event of a row that has its fields in order; its time is null if unreadable.

    Raises:
        UnreadableEventError: a field is missing, its JSON cannot be decoded, or its time is beyond
            the calendar.
    """
    event = StoredEvent(*row)
    place = EventPlace(event.position, event.stream_id, event.version, event.type)
    if row[StoredEvent._fields.index("recorded_at")] is None:
        raise UnreadableEventError(place, BEYOND_THE_CALENDAR)
    required = StoredEvent._fields[: StoredEvent._fields.index("subject")]
    if missing := [name for name in required if getattr(event, name) is None]:
        raise UnreadableEventError(place, f"{', '.join(missing)} is missing")
    try:
        for json in (event.data, event.metadata, event.personal or "null"):
            msgspec.json.decode(json)
    except Exception as error:  # of any type: 5,000 nested arrays exceed Python's stack
        raise UnreadableEventError(place, describe_error(error)) from None
    return event
