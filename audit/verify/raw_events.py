"""The rows of the log as they are stored, however damaged: reading them never raises.

Numbers and ids are read as such, everything else as text. So null, JSON of any form, and times
beyond Python's calendar arrive here, and become findings instead of errors.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import Place
from contracts.canonical import canonical
from contracts.codec import JsonObject
from contracts.error_text import describe_error
from eventstore import chain
from eventstore.damage import EventPlace, UnreadableEventError
from eventstore.model import BEYOND_THE_CALENDAR, Recorded

_PAGE = 2000

# Page by page, in the order of the index on (stream_id, version). The position separates events
# with equal versions: only a manipulated table has such.
RAW_EVENTS = text("""
    SELECT e.stream_id, e.version, e.position, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text,
           CASE WHEN isfinite(e.recorded_at)
                THEN trunc(extract(epoch FROM e.recorded_at) * 1000000)::text END AS microseconds,
           to_json(e.recorded_at AT TIME ZONE 'UTC') #>> '{}' AS recorded_at,
           e.hash, p.message_id IS NOT NULL AS has_personal, p.subject, p.salt, p.body::text
    FROM event_store.events e
    LEFT JOIN LATERAL (
        SELECT * FROM event_store.personal_data p WHERE p.message_id = e.message_id LIMIT 1
    ) p ON true
    WHERE (e.stream_id, e.version, e.position) > (:stream_id, :version, :position)
      AND (CAST(:only AS uuid) IS NULL OR e.stream_id = :only)
      AND e.version IS NOT NULL AND e.position IS NOT NULL
    ORDER BY e.stream_id, e.version, e.position
    LIMIT :limit
""")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = UUID(int=0)
_LEAST = -(2**63)


class RawEvent(NamedTuple):
    """A row of `event_store.events` with its row of `event_store.personal_data`, if it has one."""

    stream_id: UUID
    version: int
    position: int
    message_id: UUID | None
    type: str | None
    schema_version: int | None
    data: str | None
    metadata: str | None
    microseconds: str | None
    """Since 1970; None for a time that is missing or infinite."""
    recorded_at: str | None
    """In UTC, as PostgreSQL writes it in JSON."""
    hash: bytes | None
    has_personal: bool
    subject: UUID | None
    salt: bytes | None
    personal: str | None

    def hash_after(self, previous_hash: bytes, data: object, metadata: object) -> bytes:
        """Return the hash that the decoded content must have. Raises anything if it has none."""
        body = chain.body_digest(
            stream_id=self.stream_id,
            version=self.version,
            message_id=self.message_id,  # type: ignore[arg-type]  # null is hashed as null
            type=self.type,  # type: ignore[arg-type]
            schema_version=self.schema_version,  # type: ignore[arg-type]
            data=canonical(data),
            metadata=canonical(metadata),
        )
        return chain.link_at(previous_hash, body, int(self.microseconds or ""))

    def recorded(self) -> Recorded:
        """Return the event as readers get it. Raises `UnreadableEventError`."""
        try:
            recorded_at = _EPOCH + timedelta(microseconds=int(self.microseconds or ""))
        except (ValueError, OverflowError):
            place = EventPlace(self.position, self.stream_id, self.version, self.type)
            raise UnreadableEventError(place, BEYOND_THE_CALENDAR) from None
        return Recorded(
            position=self.position,
            stream_id=self.stream_id,
            version=self.version,
            message_id=self.message_id,  # type: ignore[arg-type]
            type=self.type,  # type: ignore[arg-type]
            schema_version=self.schema_version,  # type: ignore[arg-type]
            stored_data=self.data,  # type: ignore[arg-type]
            stored_metadata=self.metadata,  # type: ignore[arg-type]
            recorded_at=recorded_at,
            hash=self.hash,  # type: ignore[arg-type]
            personal=self.personal,
        )


class Content(NamedTuple):
    """The decoded part of a row."""

    data: object
    metadata: object
    fault: str | None
    """Why it cannot be read; None if it can."""

    @property
    def fields(self) -> JsonObject:
        """The fields of the data; none if the data are no object."""
        return self.data if isinstance(self.data, dict) else {}

    def uuid(self, name: str) -> UUID | None:
        """A field that is an id; None if it is missing or malformed."""
        try:
            return UUID(str(self.fields[name]))
        except (KeyError, ValueError):
            return None


def content_of(raw: RawEvent) -> Content:
    """Decode the data and the metadata. Never raises."""
    try:
        data, metadata = (
            msgspec.json.decode(raw.data or ""),
            msgspec.json.decode(raw.metadata or ""),
        )
    except Exception as error:  # of any type: 5,000 nested arrays exceed Python's stack
        return Content(None, None, describe_error(error)[:300])
    if not isinstance(data, dict):
        return Content(data, metadata, f"its data are {_kind_of(data)} instead of an object")
    return Content(data, metadata, None)


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def place_of(raw: RawEvent, content: Content) -> Place:
    """Return the place of an event."""
    time = raw.recorded_at
    if time is not None and time[-1:].isdecimal():
        time += "Z"
    return Place(raw.stream_id, raw.version, raw.position, raw.type, content.uuid("sync_id"), time)


async def raw_pages(
    connection: AsyncConnection, only: UUID | None
) -> AsyncIterator[list[RawEvent]]:
    """Yield the events by stream, version and position; those without one of them are left out."""
    after: dict[str, object] = {"stream_id": _FIRST, "version": _LEAST, "position": _LEAST}
    while True:
        found = await connection.execute(RAW_EVENTS, {**after, "only": only, "limit": _PAGE})
        page = [RawEvent(*row) for row in found]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = page[-1]
        after = {"stream_id": last.stream_id, "version": last.version, "position": last.position}
