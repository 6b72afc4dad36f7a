"""The findings of the oracle, and their table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

KINDS = (
    *("lost", "repeated", "inverted", "half-applied", "differing", "unended", "crashed"),
    *("stuck", "misreported", "stale", "backwards"),
)
"""Kinds of findings. `crashed`: a process ended without a signal from the harness."""

_SHOWN = 5


@dataclass
class Findings:
    """Findings by kind."""

    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, kind: str, *what: str) -> None:
        """Add findings of one kind."""
        self.found[kind].extend(what)

    def take(self, others: "Findings") -> None:
        """Add all findings of others."""
        for kind, found in others.found.items():
            self.add(kind, *found)

    def counts(self) -> dict[str, int]:
        """Number of findings of each kind."""
        return {kind: len(found) for kind, found in self.found.items()}

    def __bool__(self) -> bool:
        """Whether there are findings."""
        return any(self.found.values())


@dataclass
class Report:
    """The outcome of a run."""

    seed: int
    faults: Counter[tuple[str, str]]
    """Number of faults by target and kind."""
    findings: Findings
    numbers: dict[str, int | float]
    """Numbers of requests, events, looks at the read models, seconds …"""
    left_out: int = 0
    """Number of faults that cannot happen on this machine."""
    notes: Sequence[str] = ()
    """Sentences about faults that were left out, or carried out in another way."""

    def table(self) -> str:
        """Return the whole report as text."""
        lines = [f"chaos, seed {self.seed}", ""]
        lines += _rows(
            (f"{target}: {kind}", count) for (target, kind), count in sorted(self.faults.items())
        )
        lines += _rows([("faults", sum(self.faults.values())), *self.numbers.items()], gap=True)
        lines += _rows(self.findings.counts().items(), gap=True)
        for kind, found in self.findings.found.items():
            lines += [f"{kind}: {what}" for what in found[:_SHOWN]]
            if len(found) > _SHOWN:
                lines.append(f"{kind}: … {len(found) - _SHOWN} more")
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines)


def _rows(rows: Iterable[tuple[str, float]], *, gap: bool = False) -> list[str]:
    return [""] * gap + [f"  {name:<34}{count:>9,}" for name, count in rows]
