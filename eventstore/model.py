"""What goes into the log, what comes out of it, and how an append can be refused."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec

from contracts.codec import JsonObject, join, to_event
from contracts.events import ImportEvent


class NewEvent(NamedTuple):
    """An event to be appended under an id that is the same whenever the append is repeated."""

    message_id: UUID
    event: ImportEvent


class SourceDocument(NamedTuple):
    """The exact bytes that a run decided on."""

    digest: str
    """SHA-256 of `body` in hex."""
    body: bytes


class Snapshot(NamedTuple):
    """The state that a stream was folded to: a cache, with personal data in it."""

    version: int
    """Of the stream: that of the last event that is folded in."""
    fold_version: str
    """Names the code that folded; other code begins at the beginning."""
    body: bytes
    """As that code wrote it."""


class KnownErasures(NamedTuple):
    """Who of an organization was erased when events, and what is kept with them, were decided."""

    organization_id: UUID
    subjects: Set[UUID]


@dataclass(frozen=True, slots=True)
class Commit:
    """What one append writes, in one transaction."""

    stream_id: UUID
    expected_version: int
    """Version of the stream before the append; 0 for a stream that does not exist yet."""
    events: Sequence[NewEvent]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Stored with each of the events."""
    inbox: UUID | None = None
    """Id of the message that these events answer: no other append may answer it."""
    source: SourceDocument | None = None
    """The document that the events were decided from."""
    snapshot: Snapshot | None = None
    """The state after the events. It may hold personal data, so it requires `erasures`."""
    erasures: KnownErasures | None = None
    """Refuse the append if a speaker of this organization was erased who is not listed here."""


class Appended(NamedTuple):
    """Where an append ended."""

    version: int
    """Version of the stream, that of the last event."""
    position: int
    """Position of the last event."""


class Recorded(msgspec.Struct, frozen=True, dict=True):
    """An event in the log, as it is stored; `data` and `event` are the joined, upcast forms."""

    position: int
    """Rises over the whole log in the order of commits, with holes."""
    stream_id: UUID
    version: int
    """Counts from 1 within the stream, without holes."""
    message_id: UUID
    type: str
    schema_version: int
    stored_data: Annotated[str, "JSON as stored: personal fields are not in it"]
    stored_metadata: str
    recorded_at: datetime
    hash: bytes
    personal: Annotated[str | None, "JSON of the personal fields, unless there are none (left)"]

    @cached_property
    def data(self) -> JsonObject:
        """The whole event in today's version. Raises `contracts.codec.UnknownEventError`."""
        return join(self.type, self.schema_version, self.stored_data, self.personal)

    @cached_property
    def event(self) -> ImportEvent:
        """The typed event. Raises `contracts.codec.UnknownEventError`."""
        return to_event(self.type, self.data)

    @cached_property
    def metadata(self) -> JsonObject:
        """What the writer said about the append: `traceparent` where the request had one."""
        return msgspec.json.decode(self.stored_metadata, type=dict[str, object])


class StreamMovedError(Exception):
    """Another writer was first: the stream is not at the expected version. Nothing was appended.

    Remedy for the caller: read what is new, decide again, append again.
    """

    def __init__(self, stream_id: UUID, expected_version: int) -> None:
        super().__init__(f"stream {stream_id} is not at version {expected_version} any more")


class PositionsBehindError(Exception):
    """The positions that the database gives lie behind the head of the log. Nothing was appended.

    So it is where the log was copied without the sequence of its positions, as logical replication
    does. An event in the place of an older one, or before it, would never be seen by a reader.
    """

    def __init__(self) -> None:
        super().__init__(
            "new events would lie behind the head of the log: the database was copied without its "
            "sequences. Remedy: SELECT setval(pg_get_serial_sequence('event_store.events', "
            "'position'), max(position)) FROM event_store.events"
        )


class AlreadyRecordedError(Exception):
    """A message id or the inbox entry is in the log already. Nothing was appended."""
