"""Setting records aside that cannot be requests; the headers of a dead letter and of its fate.

The dead-letter topic is append-only. A letter is a record as it came, with headers of ours. What
became of it is another record of the same partition, a fate, which names the letter in its headers
and has no body. `messaging.dead_letters.fold` folds the two.
"""

import logging
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from contracts.topics import DEAD_LETTERS
from messaging.batch_consumer import RawRecord
from messaging.errors import TOO_LARGE
from messaging.requests import ORDERED_AT

logger = logging.getLogger(__name__)

REASON = "spreaview-reason"
TOPIC = "spreaview-topic"
PARTITION = "spreaview-partition"
OFFSET = "spreaview-offset"
TIMESTAMP = "spreaview-timestamp-ms"
TRUNCATED = "spreaview-truncated"
"""Of a letter that holds only the beginning of a record: the size of the whole body in bytes."""

RESOLUTION = "spreaview-fate"
LETTER = "spreaview-letter"

OURS = frozenset({REASON, TOPIC, PARTITION, OFFSET, TIMESTAMP, TRUNCATED, ORDERED_AT})
"""Headers of a letter that the record it keeps did not have, or had as its sender's claim."""

RETRIED = "retried"
DISCARDED = "discarded"

_ROOMS = (64 * 1024, 4 * 1024, 0)
"""Bytes kept of a body and of its headers, where the whole is too large for the topic."""
_LONGEST_REASON = 1024
_LONGEST_KEY = 1024

Headers = tuple[tuple[str, bytes | None], ...]


async def dead_letter(
    producer: AIOKafkaProducer, record: RawRecord, reason: str, *, topic: str = DEAD_LETTERS
) -> None:
    """Keep a record that cannot be read: its bytes and headers, where it stood, and why.

    The original headers stay as they are; ours have the prefix `spreaview-`. A record that is too
    large for the topic is stood in for by its beginning, so that the partition goes on.

    Raises:
        aiokafka.errors.KafkaError: the broker is away, or refuses even the smallest stand-in.
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
                "%s/%d@%d is too large for the dead letters, trying less of it: %s",
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
    """The first `room` bytes of body and the headers that fit in as many; whole if it all fits."""
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
    told = {
        REASON: reason,
        TOPIC: record.topic,
        PARTITION: record.partition,
        OFFSET: record.offset,
        TIMESTAMP: record.timestamp,
        ORDERED_AT: min(claimed, record.timestamp),
    }
    return tuple((name, str(value).encode(errors="replace")) for name, value in told.items())


def resolution_headers(letter: str, outcome: str, reason: str) -> Headers:
    """The headers of the record that tells the fate of the letter with this name."""
    told = {RESOLUTION: outcome, LETTER: letter, REASON: reason}
    return tuple((header, value.encode(errors="replace")) for header, value in told.items())


def original_headers(record: RawRecord, ordered_at_ms: int) -> Headers:
    """The headers of a request that is published again, be it kept in a letter or where it was."""
    return (*_theirs(record), (ORDERED_AT, str(ordered_at_ms).encode()))


def header_number(value: bytes | None, otherwise: int) -> int:
    """A number that a header holds. Longer ones than any time or offset are not believed."""
    return int(value) if value is not None and value.isdigit() and len(value) <= 19 else otherwise
