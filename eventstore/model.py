"""Values that go into the log and come out of it, and the errors of an append."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from contracts.codec import JsonObject, UnknownEventError, join, stored_event
from contracts.error_text import describe_error
from contracts.events import ImportEvent
from eventstore.calendar import require_calendar
from eventstore.damage import EventPlace, UnreadableEventError

_objects = msgspec.json.Decoder(JsonObject)


Value = TypeVar("Value")


class Once(Generic[Value]):
    """As `functools.cached_property`, without its lock, which costs more than reading an event."""

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, instance: Any, owner: type) -> Value:
        if instance is None:  # asked of the class
            raise AttributeError(self._name)
        value = self._make(instance)
        instance.__dict__[self._name] = value
        return value


class NewEvent(NamedTuple):
    """An event to append. A repeated append uses the same message id."""

    message_id: UUID
    event: ImportEvent


class SourceDocument(NamedTuple):
    """The exact bytes that a run was decided on."""

    digest: str
    """SHA-256 of `body` in hex."""
    body: bytes


class Snapshot(NamedTuple):
    """The folded state of a stream. A cache; it contains personal data."""

    version: int
    """Version of the last event folded in."""
    fold_version: str
    """Version of the code that folded; other code ignores the snapshot."""
    body: bytes
    """The encoded state."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one append writes, in one transaction.

    All its events are of one organization.
    """

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
    erasures: Set[UUID] | None = None
    """The erased persons of the organization at the time of the decision. Refuse the append if one
    was erased who is not among them."""


class Appended(NamedTuple):
    """The end of an append."""

    version: int
    """Version of the stream after it."""
    position: int
    """Position of the last event."""


class Recorded(msgspec.Struct, frozen=True, dict=True):
    """An event in the log as stored; `data` and `event` are its joined, upcast forms."""

    position: int
    """Rises over the whole log in commit order, with gaps."""
    stream_id: UUID
    version: int
    """Counts from 1 within the stream, without gaps."""
    message_id: UUID
    type: str
    schema_version: int
    stored_data: Annotated[str, "JSON as stored, without personal fields"]
    stored_metadata: str
    recorded_at: datetime
    hash: bytes
    personal: Annotated[
        str | None, "JSON of the personal fields; None if there are none or they were erased"
    ]

    @property
    def place(self) -> EventPlace:
        """The place, as errors name it."""
        return EventPlace(self.position, self.stream_id, self.version, self.type)

    @Once
    def data(self) -> JsonObject:
        """The complete event in its current version. Raises `UnreadableEventError`."""
        try:
            return join(self.type, self.schema_version, self.stored_data, self.personal)
        except Exception as error:
            raise self._unreadable(error) from None  # its context may quote the event

    @Once
    def event(self) -> ImportEvent:
        """The typed event. Its times can be shown in any time zone.

        Raises:
            UnreadableEventError: the event was changed, or a newer program wrote it.
        """
        try:
            event = stored_event(self.type, self.schema_version, self.stored_data, self.personal)
            require_calendar(event)
        except Exception as error:
            raise self._unreadable(error) from None
        return event

    @Once
    def metadata(self) -> JsonObject:
        """Facts about the append: `traceparent` if the request had one."""
        try:
            return _objects.decode(self.stored_metadata)
        except Exception as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> UnreadableEventError:
        is_newer = isinstance(error, UnknownEventError)
        return UnreadableEventError(self.place, str(error) if is_newer else describe_error(error))


def recorded_of(row: Sequence[Any]) -> Recorded:
    """Return the event of a row that has its fields in order; its time is null if unreadable.

    Raises:
        UnreadableEventError: `recorded_at` is beyond the calendar.
    """
    recorded = Recorded(*row)
    if row[_RECORDED_AT] is None:
        raise UnreadableEventError(recorded.place, BEYOND_THE_CALENDAR)
    return recorded


def recorded_of_all(rows: Iterable[Sequence[Any]]) -> list[Recorded]:
    """Return the events of rows, as `recorded_of`."""
    events = [Recorded(*row) for row in rows]
    for event in events:
        if event.recorded_at is None:
            raise UnreadableEventError(event.place, BEYOND_THE_CALENDAR)
    return events


BEYOND_THE_CALENDAR = "its recorded_at is missing, infinite, or beyond the years 2 to 9998"

_RECORDED_AT = Recorded.__struct_fields__.index("recorded_at")


class StreamMovedError(Exception):
    """Another writer was first: the stream is not at the expected version. Nothing was appended.

    The caller reads the new events, decides again and appends again.
    """

    def __init__(self, stream_id: UUID, expected_version: int) -> None:
        super().__init__(f"stream {stream_id} is not at version {expected_version} any more")


class PositionsBehindError(Exception):
    """The database assigns positions behind the head of the log. Nothing was appended.

    This happens if the log was copied without the sequence of its positions, as logical
    replication does. Readers would never see an event at such a position.
    """

    def __init__(self) -> None:
        super().__init__(
            "new events would lie behind the head of the log: the database was copied without its "
            "sequences. Remedy: SELECT setval(pg_get_serial_sequence('event_store.events', "
            "'position'), max(position)) FROM event_store.events"
        )


class AlreadyRecordedError(Exception):
    """A message id or the inbox entry exists already. Nothing was appended."""
