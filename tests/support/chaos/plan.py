"""The faults of a run and their times: a pure function of the seed."""

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Target(StrEnum):
    """Target of a fault."""

    WORKER = "worker"
    PROJECTOR = "projector"
    POSTGRES = "PostgreSQL"
    KAFKA = "Kafka"
    TO_POSTGRES = "path to PostgreSQL"
    TO_KAFKA = "path to Kafka"
    SESSIONIZE = "Sessionize"


class Kind(StrEnum):
    """Kind of a fault."""

    KILL = "kill -9"
    PAUSE = "stop, continue"
    RESTART = "restart"
    CUT = "cut"
    REFUSE = "refuse"
    SWALLOW = "swallow"
    LATE = "late request"
    DELAY = "delay"
    ERROR = "HTTP 500"
    TOO_MANY = "HTTP 429"
    TRUNCATE = "truncate"
    RESET = "reset"
    HANG = "hang"


class Fault(NamedTuple):
    """One fault."""

    after: float
    """Seconds since the fault before it began."""
    in_calm: bool
    """Whether running work gets the time to end before the fault."""
    target: Target
    kind: Kind
    which: int
    """Index of the process, for a role with two processes; otherwise unused."""
    seconds: float
    """Duration in seconds, for faults that have one."""


_PROCESS = {Kind.KILL: 6, Kind.PAUSE: 4, Kind.RESTART: 2}
_SERVER = {Kind.KILL: 3, Kind.PAUSE: 2, Kind.RESTART: 1}
_PATH = {Kind.CUT: 4, Kind.REFUSE: 2, Kind.SWALLOW: 3}
_PATH_OF_FRAMES = _PATH | {Kind.LATE: 4}
_SESSIONIZE = {
    Kind.DELAY: 2,
    Kind.ERROR: 2,
    Kind.TOO_MANY: 1,
    Kind.TRUNCATE: 2,
    Kind.RESET: 1,
    Kind.HANG: 1,
}

KINDS: dict[Target, dict[Kind, int]] = {
    Target.WORKER: _PROCESS,
    Target.PROJECTOR: _PROCESS,
    Target.POSTGRES: _SERVER,
    Target.KAFKA: _SERVER,
    Target.TO_POSTGRES: _PATH,
    Target.TO_KAFKA: _PATH_OF_FRAMES,
    Target.SESSIONIZE: _SESSIONIZE,
}
"""Possible faults by target, with their weights."""

_WEIGHTS = {
    Target.WORKER: 9,
    Target.PROJECTOR: 6,
    Target.POSTGRES: 2,
    Target.KAFKA: 1,
    Target.TO_POSTGRES: 4,
    Target.TO_KAFKA: 4,
    Target.SESSIONIZE: 5,
}
_LONGEST_GAP = 1.6
_CALMS = 1 / 6
# A consumer group notices a killed member after ten seconds.
_CALM_SECONDS = 6.0
_LONGEST_PAUSE = 6.0
_LONGEST_BREAK = 4.0


def plan(seed: int, faults: int) -> list[Fault]:
    """Return this many faults. Every target has one fault before any has a second."""
    dice = random.Random(f"faults {seed}")
    first = [t for t in Target if t is not Target.KAFKA]
    dice.shuffle(first)
    targets = [*first, Target.KAFKA][:faults]
    while len(targets) < faults:
        targets += dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return [_fault(dice, target) for target in targets]


def duration(faults: Sequence[Fault]) -> float:
    """Return the approximate duration in seconds."""
    return sum(fault.after + fault.in_calm * _CALM_SECONDS for fault in faults)


def _fault(dice: random.Random, target: Target) -> Fault:
    kinds = KINDS[target]
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    longest = _LONGEST_PAUSE if kind is Kind.PAUSE else _LONGEST_BREAK
    return Fault(
        after=dice.uniform(0.05, _LONGEST_GAP),
        in_calm=dice.random() < _CALMS,
        target=target,
        kind=kind,
        which=dice.randrange(2),
        seconds=dice.uniform(1.0 if kind is Kind.PAUSE else 0.3, longest),
    )
