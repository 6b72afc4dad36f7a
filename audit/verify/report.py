"""What a verification finds, and what it could not look at."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

MOST_TOLD = 1000
"""Findings that are told one by one; of the rest the number is told."""


class Kind(StrEnum):
    """What can be wrong."""

    CHANGED = "changed"
    """An event is not the one that its hash was made of, or does not follow its predecessor."""
    MISSING = "missing"
    """Versions of a stream are not there."""
    DISORDERED = "disordered"
    """Positions do not rise with the versions."""
    HEAD = "head"
    """A stream's head is not its last event."""
    MESSAGE_ID = "message_id"
    """An event of a run has not the id that it has to have."""
    PERSONAL_DATA = "personal_data"
    """Personal data are not those that the event was made with, or gone without an erasure."""
    SOURCE = "source"
    """A document is not the one that its digest was made of, or no run names it."""
    SNAPSHOT = "snapshot"
    """A snapshot is not what the events are folded to."""
    READ_MODEL = "read_model"
    """A row is not what the events make it."""
    GUARD = "guard"
    """What keeps the log append-only is off, or appending is impossible."""
    CHECKPOINT = "checkpoint"
    """A checkpoint names an event that is not there."""
    SEAL = "seal"
    """A sealed event is not there, or is another: a tail was cut, or a chain was made anew."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    kind: Kind
    stream_id: UUID | None
    version: int | None
    position: int | None
    what: str
    """In words: what was expected, and what is there."""

    def __str__(self) -> str:
        """As a line for people."""
        places = (("stream", self.stream_id), ("version", self.version), ("at", self.position))
        where = " ".join(f"{name} {value}" for name, value in places if value is not None)
        return f"{self.kind}: {where}: {self.what}" if where else f"{self.kind}: {self.what}"


@dataclass
class Verification:
    """What a verification came to."""

    findings: list[Finding] = field(default_factory=list)
    found: Counter[Kind] = field(default_factory=Counter)
    """How many of each kind, also those that are not told one by one."""
    unchecked: Counter[str] = field(default_factory=Counter)
    """What could not be looked at, and why; and how often."""
    checked: Counter[str] = field(default_factory=Counter)
    """What was looked at."""

    @property
    def is_well(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def add(
        self,
        kind: Kind,
        what: str,
        *,
        stream_id: UUID | None = None,
        version: int | None = None,
        position: int | None = None,
    ) -> None:
        """Something is wrong."""
        self.found[kind] += 1
        if len(self.findings) < MOST_TOLD:
            self.findings.append(Finding(kind, stream_id, version, position, what))
