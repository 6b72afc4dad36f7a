"""The report of a verification: its findings, the extent of its checks, and the verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from audit.verify.findings import NOWHERE, FindingKind, Place, VerificationFinding
from audit.verify.words import NEXT_STEPS, WITHOUT_SEALS
from contracts.wording import counted

MAX_FINDINGS = 200
"""Findings of a kind that a report lists one by one; beyond them it only counts."""


@dataclass
class VerificationReport:
    """The outcome of a verification."""

    found: Counter[FindingKind] = field(default_factory=Counter)
    """The number of findings of each kind, beyond the limit of the list as well."""
    unchecked: Counter[str] = field(default_factory=Counter)
    """Things that could not be checked, each with its reason and number."""
    checked: Counter[str] = field(default_factory=Counter)
    """Things that were checked, with their number."""
    streams: set[UUID] = field(default_factory=set)
    """The SpreaView events with findings."""
    _listed: dict[FindingKind, list[VerificationFinding]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether there is no finding."""
        return not self.found

    @property
    def findings(self) -> list[VerificationFinding]:
        """The listed findings by kind, stream, version and position."""
        return [finding for _, findings in self.groups() for finding in findings]

    def groups(self) -> Iterator[tuple[FindingKind, Sequence[VerificationFinding]]]:
        """Yield each kind that was found, with its listed findings in order."""
        for kind in FindingKind:
            if kind in self._listed:
                yield kind, sorted(self._listed[kind], key=lambda finding: finding.order)

    def add(self, kind: FindingKind, what: str, place: Place = NOWHERE) -> None:
        """Record a finding."""
        self.found[kind] += 1
        if place.stream_id is not None:
            self.streams.add(place.stream_id)
        listed = self._listed.setdefault(kind, [])
        if len(listed) < MAX_FINDINGS:
            listed.append(VerificationFinding(kind, place, what))

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if self.is_clean:
            return "Everything is as it was recorded."
        findings = counted(self.found.total(), "finding")
        where = f" in {counted(len(self.streams), 'SpreaView event')}" if self.streams else ""
        return f"Not everything is as it was recorded: {findings}{where}."

    @property
    def next_steps(self) -> list[str]:
        """Instructions: a sentence for each kind that was found."""
        steps = [NEXT_STEPS[kind] for kind in FindingKind if kind in self.found]
        if self.is_clean and not self.checked["seals"]:
            steps.append(WITHOUT_SEALS)
        return list(dict.fromkeys(steps))

    def to_json(self) -> dict[str, object]:
        """The report as JSON values; `well` is `is_clean`."""
        return {
            "well": self.is_clean,
            "verdict": self.verdict,
            "next_steps": self.next_steps,
            "found": {kind.value: self.found[kind] for kind in FindingKind if kind in self.found},
            "findings": [finding.to_json() for finding in self.findings],
            "unchecked": dict(self.unchecked),
            "checked": dict(self.checked),
        }
