"""CloudEvents 1.0 on Kafka, binary mode: attributes are headers, the body is the event's data.

Further attributes: `ce_position` (rises over the log, with holes), `ce_streamversion` (counts
within the key, without holes) and `traceparent`. Subscribers deduplicate by `ce_id`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from contracts.codec import (
    JsonObject,
    cloudevent_type,
    dataschema,
)

CONTENT_TYPE = "application/json"
TRACEPARENT = "traceparent"

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", CONTENT_TYPE.encode())

_POSITION = "ce_position"
_LONGEST_POSITION = 19

_encoder = msgspec.json.Encoder()
_SUBJECTS = {
    "RoomImported": "room",
    "RoomWithdrawn": "room",
    "SessionImported": "session",
    "SessionSkippedOutOfWindow": "session",
    "SessionSkippedUnscheduled": "session",
    "SessionWithdrawn": "session",
    "SpeakerErased": "speaker",
    "SpeakerImported": "speaker",
    "SpeakerWithdrawn": "speaker",
}


class Record(NamedTuple):
    """A Kafka record to be sent."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class CloudEvent(NamedTuple):
    """A record of `spreaview.import-events.v1` as a subscriber reads it."""

    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    dataschema: str
    position: int
    stream_version: int
    traceparent: str | None
    data: JsonObject


def log_source(log_id: UUID) -> str:
    """`ce_source` of a log. A log restored from a backup gets another id, hence another source."""
    return f"urn:spreaview:log:{log_id}"


def encode(
    *,
    log_id: UUID,
    stream_id: UUID,
    message_id: UUID,
    event_type: str,
    recorded_at: datetime,
    position: int,
    version: int,
    metadata: Mapping[str, object],
    data: JsonObject,
) -> Record:
    """Return the record of one recorded event, whose `data` are joined and upcast."""
    type_header, schema_header = _headers_of_type(event_type)
    headers = [
        _SPEC_VERSION,
        ("ce_id", str(message_id).encode()),
        type_header,
        _source_header(log_id),
        ("ce_subject", _subject(event_type, data).encode()),
        ("ce_time", _encoder.encode(recorded_at.astimezone(UTC))[1:-1]),
        schema_header,
        _CONTENT_TYPE,
        (_POSITION, b"%d" % position),
        ("ce_streamversion", b"%d" % version),
    ]
    traceparent = metadata.get(TRACEPARENT)
    if isinstance(traceparent, str):
        headers.append((TRACEPARENT, traceparent.encode()))
    return Record(str(stream_id).encode(), _encoder.encode(data), headers)


_Header: TypeAlias = tuple[str, bytes]


@cache
def _headers_of_type(event_type: str) -> tuple[_Header, _Header]:
    return (
        ("ce_type", cloudevent_type(event_type).encode()),
        ("ce_dataschema", dataschema(event_type).encode()),
    )


@lru_cache(maxsize=8)
def _source_header(log_id: UUID) -> _Header:
    return "ce_source", log_source(log_id).encode()


def position_of(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """Return the position that the headers of a record name; None if they name none."""
    for name, value in headers:
        if name == _POSITION and value is not None and value.isdigit():
            return int(value) if len(value) <= _LONGEST_POSITION else None
    return None


def structured(record: Record) -> JsonObject:
    """Return the event in structured mode: one JSON object, its key as `partitionkey`."""
    attributes = {name: value.decode() for name, value in record.headers}
    plain: JsonObject = {
        name.removeprefix("ce_"): value
        for name, value in attributes.items()
        if name.startswith("ce_") or name == TRACEPARENT
    }
    numbers = {name: int(str(plain[name])) for name in ("position", "streamversion")}
    return (
        plain
        | numbers
        | {
            "datacontenttype": CONTENT_TYPE,
            "partitionkey": record.key.decode(),
            "data": msgspec.json.decode(record.value),
        }
    )


def decode(value: bytes, headers: Sequence[tuple[str, bytes]]) -> CloudEvent:
    """Read a record; `encode` is the inverse.

    Raises:
        ValueError: a required attribute is missing or malformed (it is named), or the body is not
            a JSON object.
    """
    attributes = {name: raw.decode() for name, raw in headers}

    def required(name: str) -> str:
        if name not in attributes:
            raise ValueError(f"the record has no header {name}: not a CloudEvent of the log")
        return attributes[name]

    if required("ce_specversion") != "1.0":
        raise ValueError(f"ce_specversion is {attributes['ce_specversion']!r}, expected '1.0'")
    return CloudEvent(
        id=UUID(required("ce_id")),
        source=required("ce_source"),
        type=required("ce_type"),
        subject=required("ce_subject"),
        time=datetime.fromisoformat(required("ce_time")),
        dataschema=required("ce_dataschema"),
        position=int(required(_POSITION)),
        stream_version=int(required("ce_streamversion")),
        traceparent=attributes.get(TRACEPARENT),
        data=msgspec.json.decode(value, type=dict[str, object]),
    )


def _subject(event_type: str, data: JsonObject) -> str:
    kind = _SUBJECTS.get(event_type)
    return f"{kind}/{data[f'{kind}_id']}" if kind else f"sync/{data['sync_id']}"
