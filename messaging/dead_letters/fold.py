"""Dead letters and their fates, folded from the records of their topic."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from messaging.batch_consumer import RawRecord
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
from messaging.requests import ORDERED_AT

logger = logging.getLogger(__name__)

_LONGEST_KEY = 1024


class DeadLetterName(NamedTuple):
    """Where a letter stands in the dead-letter topic; written `partition/offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "DeadLetterName":
        """Read `3/17`. Raises ValueError for anything else."""
        partition, slash, offset = text.partition("/")
        if not (slash and all(n.isascii() and n.isdecimal() for n in (partition, offset))):
            raise ValueError(f"{text!r} is not the name of a letter, such as 3/17")
        return cls(int(partition), int(offset))


class Resolution(NamedTuple):
    """What was done about a letter."""

    outcome: str
    """RETRIED or DISCARDED."""
    reason: str
    """Where it was published again, or why it was discarded."""
    at_ms: int


class DeadLetter(NamedTuple):
    """What is told about a letter without its body."""

    name: DeadLetterName
    reason: str
    topic: str
    partition: int
    offset: int
    """Where the record stood; -1 if the letter does not say."""
    timestamp_ms: int
    first_received_ms: int
    """On the first of its trips through the dead letters."""
    dead_lettered_ms: int
    key: bytes | None
    size: int
    """Of the original body, in bytes."""
    truncated: bool
    """Whether the letter holds no more than the beginning of the record."""
    resolutions: tuple[Resolution, ...] = ()
    """Oldest first; none while the letter is open."""


class DeadLetters:
    """All letters of the topic, without their bodies: the fold of its records."""

    def __init__(self) -> None:
        self._letters: dict[DeadLetterName, DeadLetter] = {}

    def add(self, record: RawRecord) -> None:
        """Take one record of the dead-letter topic; those of a partition in order."""
        told = dict(record.headers)
        # A request may carry any header: what has the origin of a letter is none of our fates.
        if RESOLUTION in told and TOPIC not in told:
            self._add_resolution(record, told)
        else:
            letter = read_letter(record)
            self._letters[letter.name] = letter

    def _add_resolution(self, record: RawRecord, told: Mapping[str, bytes | None]) -> None:
        try:
            name = DeadLetterName.parse(_text(told.get(LETTER)))
        except ValueError:
            name = DeadLetterName(-1, -1)
        letter = self._letters.get(name) if name.partition == record.partition else None
        if letter is None:
            logger.warning(
                "%s/%d@%d names no letter before it", record.topic, record.partition, record.offset
            )
            return
        resolution = Resolution(_text(told[RESOLUTION]), _text(told.get(REASON)), record.timestamp)
        self._letters[name] = letter._replace(resolutions=(*letter.resolutions, resolution))

    def get(self, name: DeadLetterName) -> DeadLetter | None:
        """The letter with this name, if there is one."""
        return self._letters.get(name)

    def all(self) -> list[DeadLetter]:
        """Every letter, the one first received first: the order in which to retry them."""
        return sorted(self._letters.values(), key=lambda x: (x.first_received_ms, x.name))

    def open(self) -> list[DeadLetter]:
        """Those that nothing was done about, in the same order."""
        return [letter for letter in self.all() if not letter.resolutions]


def read_letter(record: RawRecord) -> DeadLetter:
    """A record of the dead-letter topic as a letter; what it does not say is empty or -1."""
    told = dict(record.headers)
    size = len(record.value or b"")
    return DeadLetter(
        name=DeadLetterName(record.partition, record.offset),
        reason=_text(told.get(REASON)),
        topic=_text(told.get(TOPIC)),
        partition=header_number(told.get(PARTITION), -1),
        offset=header_number(told.get(OFFSET), -1),
        timestamp_ms=header_number(told.get(TIMESTAMP), record.timestamp),
        first_received_ms=header_number(told.get(ORDERED_AT), record.timestamp),
        dead_lettered_ms=record.timestamp,
        key=record.key[:_LONGEST_KEY] if record.key is not None else None,
        size=header_number(told.get(TRUNCATED), size),
        truncated=TRUNCATED in told,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")
