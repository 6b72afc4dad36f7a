"""The records of the dead-letter topic and their headers.

The topic is append-only. A dead letter is the original record with headers of ours. Its resolution
is a later record of the same partition that names the dead letter in its headers and has no body.
`messaging.dead_letters.fold` folds both kinds.
"""

import logging
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from contracts.topics import DEAD_LETTERS
from messaging.errors import TOO_LARGE
from messaging.raw_record import RawRecord
from messaging.requests import ORDERED_AT

logger = logging.getLogger(__name__)

REASON = "spreaview-reason"
TOPIC = "spreaview-topic"
PARTITION = "spreaview-partition"
OFFSET = "spreaview-offset"
TIMESTAMP = "spreaview-timestamp-ms"
TRUNCATED = "spreaview-truncated"
"""Size of the whole body in bytes, where only the beginning of a record is kept."""

RESOLUTION = "spreaview-fate"
LETTER = "spreaview-letter"

OURS = frozenset({REASON, TOPIC, PARTITION, OFFSET, TIMESTAMP, TRUNCATED, ORDERED_AT})
"""Headers that dead letters add; equally named headers of the sender are dropped."""

RETRIED = "retried"
DISCARDED = "discarded"

_ROOMS = (64 * 1024, 4 * 1024, 0)
"""Bytes to keep of a body and of its headers; the next size is tried if the topic refuses one."""
_LONGEST_REASON = 1024
_LONGEST_KEY = 1024

Headers = tuple[tuple[str, bytes | None], ...]


async def dead_letter(
    producer: AIOKafkaProducer, record: RawRecord, reason: str, *, topic: str = DEAD_LETTERS
) -> None:
    """Write a record that is not a request to the dead-letter topic, with its place and the reason.

    The original headers are kept unchanged; ours have the prefix `spreaview-`. If a record is too
    large for the topic, only its beginning is kept, so that its partition continues.

    Raises:
        aiokafka.errors.KafkaError: the broker is down, or refuses even the shortest beginning.
    """
    parcels = [_whole(record, reason), *(_beginning(record, reason, room) for room in _ROOMS)]
    for parcel in parcels:
        try:
            await producer.send_and_wait(
                topic, parcel.value, key=parcel.key, headers=list(parcel.headers)
            )
            return
        except TOO_LARGE as error:
            if parcel is parcels[-1]:
                raise
            logger.warning(
                "%s/%d@%d is too large for the dead letters; keeping less of it: %s",
                *(record.topic, record.partition, record.offset, error),
            )


class _Parcel(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


def _whole(record: RawRecord, reason: str) -> _Parcel:
    # Without a key, aiokafka sends no record without a value.
    value = b"" if record.value is None and record.key is None else record.value
    return _Parcel(record.key, value, (*_theirs(record), *_ours(record, reason)))


def _beginning(record: RawRecord, reason: str, room: int) -> _Parcel:
    """Keep `room` bytes of the body and headers of up to `room` bytes; all of it if it fits."""
    body, theirs = record.value or b"", _theirs(record)
    size = len(body) + len(record.key or b"") + sum(map(_header_size, theirs))
    if size <= room:
        return _whole(record, reason)
    kept: list[tuple[str, bytes | None]] = []
    left = room
    for header in theirs:
        if _header_size(header) <= left:
            left -= _header_size(header)
            kept.append(header)
    key = record.key[: min(room, _LONGEST_KEY)] if record.key is not None else None
    ours = _ours(record, reason[:_LONGEST_REASON])
    return _Parcel(key, body[:room], (*kept, *ours, (TRUNCATED, str(len(body)).encode())))


def _header_size(header: tuple[str, bytes | None]) -> int:
    name, value = header
    return len(name.encode()) + len(value or b"")


def _theirs(record: RawRecord) -> Headers:
    return tuple((name, value) for name, value in record.headers if name not in OURS)


def _ours(record: RawRecord, reason: str) -> Headers:
    claimed = header_number(dict(record.headers).get(ORDERED_AT), record.timestamp)
    headers = {
        REASON: reason,
        TOPIC: record.topic,
        PARTITION: record.partition,
        OFFSET: record.offset,
        TIMESTAMP: record.timestamp,
        ORDERED_AT: min(claimed, record.timestamp),
    }
    return tuple((name, str(value).encode(errors="replace")) for name, value in headers.items())


def resolution_headers(letter: str, outcome: str, reason: str) -> Headers:
    """Return the headers of the record that resolves the dead letter with this name."""
    headers = {RESOLUTION: outcome, LETTER: letter, REASON: reason}
    return tuple((header, value.encode(errors="replace")) for header, value in headers.items())


def original_headers(record: RawRecord, ordered_at_ms: int) -> Headers:
    """Return the headers for publishing a request again, given its dead letter or its original."""
    return (*_theirs(record), (ORDERED_AT, str(ordered_at_ms).encode()))


def header_number(value: bytes | None, otherwise: int) -> int:
    """Read a number from a header. Longer texts than any time or offset count as malformed."""
    return int(value) if value is not None and value.isdigit() and len(value) <= 19 else otherwise
