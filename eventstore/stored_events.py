"""Events exactly as the log stores them, hash and personal data included.

`Recorded` is the form for readers. This form is for the code that proves, exports and loads a log.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.canonical import canonical
from eventstore import chain
from eventstore.model import Recorded


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
