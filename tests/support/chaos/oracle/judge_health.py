"""Compares the health that processes reported with the truth."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tests.support.chaos.oracle.report import Findings


class Answer(NamedTuple):
    """The health that a process reported."""

    name: str
    asked_at: float
    """Monotonic time."""
    answered_at: float
    is_live: bool
    is_ready: bool
    faults: str
    """Its components that were not well, as text."""


class Outage(NamedTuple):
    """A time in which processes could not do their work."""

    what: str
    began_at: float
    """Monotonic time."""
    ended_at: float
    grace_seconds: float
    """Time in which a process has to notice it."""
    names: Collection[str]
    """The processes that it hit."""
    hits_all: bool = True
    """False if it is enough that one of the processes reports it."""
    shown_by: Collection[str] = ()
    """The processes that stay ready, because they can do without, and show it as a fault."""

    def is_reported_in(self, answer: Answer) -> bool:
        """Whether an answer reports this outage."""
        return not answer.is_ready or (answer.name in self.shown_by and bool(answer.faults))


def judge_health(answers: Sequence[Answer], outages: Sequence[Outage], findings: Findings) -> None:
    """Find processes that reported no outage during one, and processes that wanted a restart.

    No fault of the harness is one that a restart mends, so every process has to be live always.
    """
    unlive = {answer.name: answer.faults for answer in answers if not answer.is_live}
    for name, faults in unlive.items():
        findings.add("misreported", f"{name} was not live: {faults}")
    for outage in outages:
        known_by = outage.began_at + outage.grace_seconds
        during = [
            answer
            for answer in answers
            if answer.name in outage.names
            and known_by <= answer.asked_at
            and answer.answered_at <= outage.ended_at
        ]
        well = {answer.name for answer in during if not outage.is_reported_in(answer)}
        unwell = {answer.name for answer in during if outage.is_reported_in(answer)}
        if well and (outage.hits_all or not unwell):
            findings.add(
                "misreported",
                f"{', '.join(sorted(well))} reported no outage more than "
                f"{outage.grace_seconds:g} s after: {outage.what}",
            )
