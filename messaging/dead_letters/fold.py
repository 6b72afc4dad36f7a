"""Dead letters and their resolutions, folded from the records of their topic.

Consumers repeat a record if they end before its offset is committed. So the topic may hold several
copies of a dead letter. They have the same origin, and are one dead letter here.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from messaging.dead_letters.records import (
    LETTER,
    OFFSET,
    PARTITION,
    REASON,
    RESOLUTION,
    TIMESTAMP,
    TOPIC,
    TRUNCATED,
    header_number,
)
from messaging.raw_record import RawRecord
from messaging.requests import ORDERED_AT

logger = logging.getLogger(__name__)

_LONGEST_KEY = 1024


class DeadLetterName(NamedTuple):
    """Place of a dead letter in the dead-letter topic, written `partition/offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "DeadLetterName":
        """Parse a text such as `3/17`. Raises ValueError for any other form."""
        partition, slash, offset = text.partition("/")
        if not (slash and all(n.isascii() and n.isdecimal() for n in (partition, offset))):
            raise ValueError(f"{text!r} is not the name of a letter, such as 3/17")
        return cls(int(partition), int(offset))


class Resolution(NamedTuple):
    """How an operator resolved a dead letter."""

    outcome: str
    """RETRIED or DISCARDED."""
    reason: str
    """Where the request was published again, or why it was discarded."""
    at_ms: int


class Origin(NamedTuple):
    """The record that became a dead letter. A topic that was created again counts from 0 again."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class DeadLetter(NamedTuple):
    """A dead letter without its body."""

    name: DeadLetterName
    """Place of its oldest copy."""
    reason: str
    topic: str
    partition: int
    offset: int
    """Offset of the original record; -1 if the headers do not have it."""
    timestamp_ms: int
    first_received_ms: int
    """Time of the first receipt, also after retries that failed again."""
    dead_lettered_ms: int
    key: bytes | None
    size: int
    """Size of the original body in bytes."""
    truncated: bool
    """Whether the dead letter has only the beginning of the record."""
    resolutions: tuple[Resolution, ...] = ()
    """Oldest first; empty while the dead letter is open."""
    copies: tuple[DeadLetterName, ...] = ()
    """Places of its other copies."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the original record."""
        return self.topic, self.partition, self.offset

    @property
    def origin(self) -> Origin | DeadLetterName:
        """The original record; for a record without our headers, its place in this topic."""
        if not self.topic:
            return self.name
        return Origin(self.topic, self.partition, self.offset, self.timestamp_ms)


class DeadLetters:
    """All dead letters of the topic, without their bodies: the fold of its records."""

    def __init__(self) -> None:
        self._letters: dict[Origin | DeadLetterName, DeadLetter] = {}
        self._origins: dict[DeadLetterName, Origin | DeadLetterName] = {}
        """The origin of every copy."""
        self._begins: dict[int, int] = {}
        """The first offset of each partition: what was before it was deleted."""

    def add(self, record: RawRecord) -> None:
        """Add one record of the dead-letter topic. Add the records of a partition in order."""
        begin = self._begins.get(record.partition, record.offset)
        self._begins[record.partition] = min(begin, record.offset)
        headers = dict(record.headers)
        # A request may carry this header, but only its dead letter has an origin as well.
        if RESOLUTION in headers and TOPIC not in headers:
            self._add_resolution(record, headers)
        else:
            self._add_letter(read_letter(record))

    def _add_letter(self, letter: DeadLetter) -> None:
        origin = letter.origin
        self._origins[letter.name] = origin
        if (known := self._letters.get(origin)) is not None:
            first, second = sorted((known, letter), key=lambda x: (x.dead_lettered_ms, x.name))
            letter = first._replace(
                resolutions=known.resolutions,
                copies=tuple(sorted({*known.copies, second.name})),
            )
        self._letters[origin] = letter

    def _add_resolution(self, record: RawRecord, headers: Mapping[str, bytes | None]) -> None:
        try:
            name = DeadLetterName.parse(_text(headers.get(LETTER)))
        except ValueError:
            name = DeadLetterName(-1, -1)
        is_here = name.partition == record.partition
        if is_here and name.offset < self._begins[record.partition]:
            return  # the letter was deleted
        letter = self.get(name) if is_here else None
        if letter is None:
            logger.warning(
                "%s/%d@%d resolves no dead letter before it",
                record.topic,
                record.partition,
                record.offset,
            )
            return
        resolution = Resolution(
            _text(headers[RESOLUTION]), _text(headers.get(REASON)), record.timestamp
        )
        resolutions = sorted((*letter.resolutions, resolution), key=lambda x: x.at_ms)
        self._letters[letter.origin] = letter._replace(resolutions=tuple(resolutions))

    def get(self, name: DeadLetterName) -> DeadLetter | None:
        """Return the dead letter with a copy at this place, or None."""
        origin = self._origins.get(name)
        return None if origin is None else self._letters[origin]

    def all(self) -> list[DeadLetter]:
        """Return each dead letter once, by time of first receipt: the order to retry them in."""
        return sorted(self._letters.values(), key=lambda x: (x.first_received_ms, x.name))

    def open(self) -> list[DeadLetter]:
        """Return the dead letters without a resolution, in the same order."""
        return [letter for letter in self.all() if not letter.resolutions]


def read_letter(record: RawRecord) -> DeadLetter:
    """Read a record as a dead letter. A missing header gives an empty text or -1."""
    headers = dict(record.headers)
    size = len(record.value or b"")
    return DeadLetter(
        name=DeadLetterName(record.partition, record.offset),
        reason=_text(headers.get(REASON)),
        topic=_text(headers.get(TOPIC)),
        partition=header_number(headers.get(PARTITION), -1),
        offset=header_number(headers.get(OFFSET), -1),
        timestamp_ms=header_number(headers.get(TIMESTAMP), record.timestamp),
        first_received_ms=header_number(headers.get(ORDERED_AT), record.timestamp),
        dead_lettered_ms=record.timestamp,
        key=record.key[:_LONGEST_KEY] if record.key is not None else None,
        size=header_number(headers.get(TRUNCATED), size),
        truncated=TRUNCATED in headers,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")
