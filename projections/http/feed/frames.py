"""Frames: events of the log, encoded once for pages and streams alike."""

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.codec import kebab
from contracts.events import CUT_TYPES, EVENT_TYPES
from eventstore.damage import DamagedLogError
from eventstore.model import Recorded
from messaging.cloudevents import encode, structured
from projections.http.feed.cursor import Cursor, cursor_at

TYPES = tuple(kebab(name) for name in EVENT_TYPES)
"""The names of the events in the feed, such as `session-imported`."""

_encoder = msgspec.json.Encoder()


class Frame(NamedTuple):
    """One event of the log."""

    position: int
    stream_id: UUID
    organization_id: str
    type: str
    """Such as `session-imported`."""
    ends: bool
    """Whether a subscriber may stop here: it is the last event of an outcome."""
    cursor: Cursor
    sse: bytes
    """The event as `text/event-stream`."""

    @property
    def json(self) -> bytes:
        """The CloudEvent in structured mode."""
        return self.sse[self.sse.index(_DATA) + len(_DATA) : -len(_END)]


class Filter(NamedTuple):
    """The selection of a subscriber, within the limits of its token. None does not limit."""

    event_id: UUID | None = None
    organization_id: UUID | None = None
    types: frozenset[str] = frozenset()
    """Empty: all types."""
    allowed: frozenset[UUID] | None = None
    """The organizations of the token."""

    def select(self, frames: Iterable[Frame]) -> list[Frame]:
        """The frames that pass, in their order."""
        return [frame for frame in frames if self._passes(frame)]

    def _passes(self, frame: Frame) -> bool:
        if self.event_id is not None and frame.stream_id != self.event_id:
            return False
        if self.types and frame.type not in self.types:
            return False
        if self.organization_id is None and self.allowed is None:
            return True
        organization = UUID(frame.organization_id)
        if self.organization_id is not None and organization != self.organization_id:
            return False
        return self.allowed is None or organization in self.allowed


def frames_of(log_id: UUID, rows: Iterable[Recorded]) -> list[Frame]:
    """Encode events, up to the last whole outcome before one that cannot be read.

    Raises `DamagedLogError` if nothing whole is before that event.
    """
    frames: list[Frame] = []
    for row in rows:
        try:
            frames.append(frame_of(log_id, row))
        except DamagedLogError:
            while frames and not frames[-1].ends:
                frames.pop()
            if not frames:
                raise
            break
    return frames


def frame_of(log_id: UUID, recorded: Recorded) -> Frame:
    """Encode one event. Raises `UnreadableEventError`."""
    data = recorded.data
    record = encode(
        log_id=log_id,
        stream_id=recorded.stream_id,
        message_id=recorded.message_id,
        event_type=recorded.type,
        recorded_at=recorded.recorded_at,
        position=recorded.position,
        version=recorded.version,
        metadata=recorded.metadata,
        data=data,
    )
    cursor = cursor_at(log_id, recorded.position, recorded.message_id)
    type_ = kebab(recorded.type)
    return Frame(
        position=recorded.position,
        stream_id=recorded.stream_id,
        organization_id=str(data["organization_id"]),
        type=type_,
        ends=recorded.type in CUT_TYPES,
        cursor=cursor,
        sse=_sse(cursor, type_, _encoder.encode(structured(record))),
    )


def control(name: str, cursor: Cursor | str, **data: object) -> bytes:
    """A frame of the feed itself: `header`, `caught-up` or `reset`."""
    return _sse(cursor, name, _encoder.encode({"cursor": str(cursor), **data}))


def heartbeat(cursor: Cursor | str) -> bytes:
    """An id without data: a browser dispatches nothing, and resumes from there."""
    return b"id: %b\n\n" % str(cursor).encode()


def size_of(frames: Collection[Frame]) -> int:
    """Bytes of memory, about."""
    return sum(len(frame.sse) + _FRAME_BYTES for frame in frames)


def _sse(cursor: Cursor | str, name: str, body: bytes) -> bytes:
    return b"id: %b\nevent: %b%b%b%b" % (str(cursor).encode(), name.encode(), _DATA, body, _END)


_DATA = b"\ndata: "
_END = b"\n\n"
_FRAME_BYTES = 700
"""Memory of a frame without its text, about: ids, cursor, and its place in two queues."""
