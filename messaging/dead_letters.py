"""Setting records aside that cannot be requests, and what a dead letter and its fate look like.

The dead-letter topic is append-only. A letter is a record as it came, with headers of ours. What
became of it is another record of the same partition, a fate, which names the letter in its headers
and has no body. Readers fold the two.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from contracts.topics import DEAD_LETTERS
from messaging.intake import RawRecord
from messaging.requests import ORDERED_AT

logger = logging.getLogger(__name__)

REASON = "spreaview-reason"
TOPIC = "spreaview-topic"
PARTITION = "spreaview-partition"
OFFSET = "spreaview-offset"
TIMESTAMP = "spreaview-timestamp-ms"
TRUNCATED = "spreaview-truncated"
"""Of a letter that holds only the beginning of a record: the size of the whole body in bytes."""

FATE = "spreaview-fate"
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


class LetterName(NamedTuple):
    """Where a letter stands in the dead-letter topic; written `partition/offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "LetterName":
        """Read `3/17`. Raises ValueError for anything else."""
        partition, slash, offset = text.partition("/")
        if not (slash and all(n.isascii() and n.isdecimal() for n in (partition, offset))):
            raise ValueError(f"{text!r} is not the name of a letter, such as 3/17")
        return cls(int(partition), int(offset))


class Fate(NamedTuple):
    """What was done about a letter."""

    fate: str
    """RETRIED or DISCARDED."""
    reason: str
    """Where it was published again, or why it was discarded."""
    at_ms: int


class Letter(NamedTuple):
    """What is told about a letter without its body."""

    name: LetterName
    reason: str
    topic: str
    partition: int
    offset: int
    """Where the record stood; -1 if the letter does not say."""
    timestamp_ms: int
    first_received_ms: int
    """On the first of its trips through the dead letters."""
    set_aside_ms: int
    key: bytes | None
    size: int
    """Of the original body, in bytes."""
    truncated: bool
    """Whether the letter holds no more than the beginning of the record."""
    fates: tuple[Fate, ...] = ()
    """Oldest first; none while the letter is open."""


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
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
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
    """The record, cut to `room` bytes of body and as many of headers; whole if it fits."""
    body, theirs = record.value or b"", _theirs(record)
    size = len(body) + len(record.key or b"") + sum(map(_header_size, theirs))
    if size <= room:
        return _whole(record, reason)
    kept: list[tuple[str, bytes | None]] = []
    left = room
    for header in theirs:
        left -= _header_size(header)
        if left >= 0:
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
    claimed = _number(dict(record.headers).get(ORDERED_AT), record.timestamp)
    told = {
        REASON: reason,
        TOPIC: record.topic,
        PARTITION: record.partition,
        OFFSET: record.offset,
        TIMESTAMP: record.timestamp,
        ORDERED_AT: min(claimed, record.timestamp),
    }
    return tuple((name, str(value).encode(errors="replace")) for name, value in told.items())


def fate_headers(name: LetterName, fate: str, reason: str) -> Headers:
    """The headers of the record that tells a letter's fate."""
    told = {FATE: fate, LETTER: str(name), REASON: reason}
    return tuple((header, value.encode(errors="replace")) for header, value in told.items())


def original_headers(record: RawRecord, ordered_at_ms: int) -> Headers:
    """The headers of a request that is published again, be it kept in a letter or where it was."""
    return (*_theirs(record), (ORDERED_AT, str(ordered_at_ms).encode()))


class Letters:
    """All letters of the topic, without their bodies: the fold of its records."""

    def __init__(self) -> None:
        self._letters: dict[LetterName, Letter] = {}

    def add(self, record: RawRecord) -> None:
        """Take one record of the dead-letter topic; those of a partition in order."""
        told = dict(record.headers)
        # A request may carry any header: what has the origin of a letter is none of our fates.
        if FATE in told and TOPIC not in told:
            self._add_fate(record, told)
        else:
            letter = read_letter(record)
            self._letters[letter.name] = letter

    def _add_fate(self, record: RawRecord, told: Mapping[str, bytes | None]) -> None:
        try:
            name = LetterName.parse(_text(told.get(LETTER)))
        except ValueError:
            name = LetterName(-1, -1)
        letter = self._letters.get(name) if name.partition == record.partition else None
        if letter is None:
            logger.warning(
                "%s/%d@%d names no letter before it", record.topic, record.partition, record.offset
            )
            return
        fate = Fate(_text(told[FATE]), _text(told.get(REASON)), record.timestamp)
        self._letters[name] = letter._replace(fates=(*letter.fates, fate))

    def get(self, name: LetterName) -> Letter | None:
        """The letter with this name, if there is one."""
        return self._letters.get(name)

    def all(self) -> list[Letter]:
        """Every letter, the one first received first: the order in which to retry them."""
        return sorted(self._letters.values(), key=lambda x: (x.first_received_ms, x.name))

    def open(self) -> list[Letter]:
        """Those that nothing was done about, in the same order."""
        return [letter for letter in self.all() if not letter.fates]


def read_letter(record: RawRecord) -> Letter:
    """A record of the dead-letter topic as a letter; what it does not say is empty or -1."""
    told = dict(record.headers)
    size = len(record.value or b"")
    return Letter(
        name=LetterName(record.partition, record.offset),
        reason=_text(told.get(REASON)),
        topic=_text(told.get(TOPIC)),
        partition=_number(told.get(PARTITION), -1),
        offset=_number(told.get(OFFSET), -1),
        timestamp_ms=_number(told.get(TIMESTAMP), record.timestamp),
        first_received_ms=_number(told.get(ORDERED_AT), record.timestamp),
        set_aside_ms=record.timestamp,
        key=record.key[:_LONGEST_KEY] if record.key is not None else None,
        size=_number(told.get(TRUNCATED), size),
        truncated=TRUNCATED in told,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")


def _number(value: bytes | None, otherwise: int) -> int:
    """A number that a header holds. Longer ones than any time or offset are not believed."""
    return int(value) if value is not None and value.isdigit() and len(value) <= 19 else otherwise
