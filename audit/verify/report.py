"""The report of a verification: its findings, and the extent of its checks."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec

MAX_FINDINGS = 1000
"""Findings that a report lists one by one; beyond them it only counts."""


class FindingKind(StrEnum):
    """The kinds of findings."""

    CHANGED = "changed"
    """An event does not match its hash, or its hash does not follow its predecessor's."""
    MISSING = "missing"
    """Versions of a stream are missing."""
    DISORDERED = "disordered"
    """Positions do not rise with the versions."""
    HEAD = "head"
    """A stream's head is not its last event."""
    MESSAGE_ID = "message_id"
    """The message id of an event of a run is not the one derived from its run."""
    PERSONAL_DATA = "personal_data"
    """Personal data do not match the event's digest, or are gone without an erasure."""
    SOURCE = "source"
    """A document does not match its digest, or no run names it."""
    SNAPSHOT = "snapshot"
    """A snapshot differs from the fold of its events."""
    READ_MODEL = "read_model"
    """A row differs from the row that the events give."""
    GUARD = "guard"
    """The trigger that keeps the log append-only is off, or appending is impossible."""
    CHECKPOINT = "checkpoint"
    """A checkpoint names an event that the log does not have."""
    SEAL = "seal"
    """A sealed event is missing or differs: the tail was cut, or the chain was rebuilt."""


class VerificationFinding(NamedTuple):
    """One fault."""

    kind: FindingKind
    stream_id: UUID | None
    version: int | None
    position: int | None
    what: str
    """A sentence: what was expected, and what was found."""

    def __str__(self) -> str:
        """The finding as one line of text."""
        places = (("stream", self.stream_id), ("version", self.version), ("at", self.position))
        where = " ".join(f"{name} {value}" for name, value in places if value is not None)
        return f"{self.kind}: {where}: {self.what}" if where else f"{self.kind}: {self.what}"

    def to_json(self) -> dict[str, object]:
        """The finding as JSON values."""
        finding: dict[str, object] = msgspec.to_builtins(self._asdict())
        return finding


@dataclass
class VerificationReport:
    """The outcome of a verification."""

    findings: list[VerificationFinding] = field(default_factory=list)
    found: Counter[FindingKind] = field(default_factory=Counter)
    """The number of findings of each kind, beyond the limit of the list as well."""
    unchecked: Counter[str] = field(default_factory=Counter)
    """Things that could not be checked, each with its reason and number."""
    checked: Counter[str] = field(default_factory=Counter)
    """Things that were checked, with their number."""

    @property
    def is_clean(self) -> bool:
        """Whether there is no finding."""
        return not self.found

    def add(
        self,
        kind: FindingKind,
        what: str,
        *,
        stream_id: UUID | None = None,
        version: int | None = None,
        position: int | None = None,
    ) -> None:
        """Record a finding."""
        self.found[kind] += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(VerificationFinding(kind, stream_id, version, position, what))

    def to_json(self) -> dict[str, object]:
        """The report as JSON values; `well` is `is_clean`."""
        return {
            "well": self.is_clean,
            "found": {kind.value: number for kind, number in self.found.items()},
            "findings": [finding.to_json() for finding in self.findings],
            "unchecked": dict(self.unchecked),
            "checked": dict(self.checked),
        }
