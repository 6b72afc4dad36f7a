"""The faults of a run and their times: a pure function of the seed."""

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Target(StrEnum):
    """Target of a fault."""

    WORKER = "worker"
    PROJECTOR = "projector"
    API = "api"
    POSTGRES = "PostgreSQL"
    KAFKA = "Kafka"
    TO_POSTGRES = "path to PostgreSQL"
    TO_KAFKA = "path to Kafka"
    SESSIONIZE = "Sessionize"
    LEADER = "leader's path to Kafka"
    """The path of the worker that publishes the log at that moment, and of no other process."""
    DISK = "disk of PostgreSQL"
    STATEMENTS = "statements of PostgreSQL"


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
    FLAP = "flapping sessions"
    """Stopped and continued repeatedly, each time for longer than a session."""
    HEARTBEATS = "swallowed heartbeats"
    """Members of the groups get answers to heartbeats that the broker never sees."""
    AWAY = "away for long"
    """Refused for longer than the processes may need to notice."""
    ONE_HOUR = "clock an hour ahead"
    TWO_HOURS = "clock two hours ahead"
    FULL = "full"
    FULL_FOR_LONG = "full for long"
    """For longer than the processes may need to notice that nothing gets done."""
    TIMEOUT = "time out"


class Fault(NamedTuple):
    """One fault."""

    after: float
    """Seconds since the fault before it began."""
    in_calm: bool
    """Whether running work gets the time to end before the fault."""
    target: Target
    kind: Kind
    which: int
    """Index of the process, for a role with two processes; otherwise 0 or unused."""
    seconds: float
    """Duration in seconds, for faults that have one."""


CLOCKS = {Kind.ONE_HOUR: "+3660", Kind.TWO_HOURS: "+7260"}
"""Seconds by which a clock is ahead: a minute more, because brokers tolerate one hour."""

_PROCESS = {
    Kind.KILL: 12,
    Kind.PAUSE: 8,
    Kind.RESTART: 4,
    Kind.FLAP: 2,
    Kind.ONE_HOUR: 1,
    Kind.TWO_HOURS: 1,
}
_SERVER = {Kind.KILL: 3, Kind.PAUSE: 2, Kind.RESTART: 1}
_PATH = {Kind.CUT: 8, Kind.REFUSE: 4, Kind.SWALLOW: 6, Kind.AWAY: 1}
_PATH_OF_FRAMES = _PATH | {Kind.LATE: 8, Kind.HEARTBEATS: 3}
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
    Target.API: {Kind.KILL: 12, Kind.PAUSE: 6, Kind.RESTART: 6},
    Target.POSTGRES: _SERVER,
    Target.KAFKA: _SERVER,
    Target.TO_POSTGRES: _PATH,
    Target.TO_KAFKA: _PATH_OF_FRAMES,
    Target.SESSIONIZE: _SESSIONIZE,
    Target.LEADER: {Kind.REFUSE: 1},
    Target.DISK: {Kind.FULL: 3, Kind.FULL_FOR_LONG: 1},
    Target.STATEMENTS: {Kind.TIMEOUT: 1},
}
"""Possible faults by target, with their weights."""

_WEIGHTS = {
    Target.WORKER: 18,
    Target.PROJECTOR: 12,
    Target.API: 8,
    Target.POSTGRES: 4,
    Target.KAFKA: 2,
    Target.TO_POSTGRES: 8,
    Target.TO_KAFKA: 8,
    Target.SESSIONIZE: 10,
    Target.LEADER: 1,
    Target.DISK: 1,
    Target.STATEMENTS: 2,
}
ALONE = frozenset({Target.LEADER, Target.DISK})
"""No other fault happens meanwhile: PostgreSQL cannot be started on a full disk, and a takeover
needs a healthy standby."""
_LONGEST_GAP = 1.6
_CALMS = 1 / 6
# A consumer group notices a killed member after ten seconds.
_CALM_SECONDS = 6.0
_ALONE_SECONDS = 8.0
"""About the time in which earlier faults end, and the processes become ready again."""
_LONGEST_PAUSE = 6.0
_LONGEST_BREAK = 4.0
_SECONDS = {
    Kind.AWAY: (9.0, 12.0),
    Kind.HEARTBEATS: (6.0, 12.0),
    Kind.FLAP: (9.0, 14.0),
    Kind.ONE_HOUR: (4.0, 10.0),
    Kind.TWO_HOURS: (4.0, 10.0),
    Kind.FULL: (2.0, 5.0),
    Kind.FULL_FOR_LONG: (36.0, 40.0),
    Kind.PAUSE: (1.0, _LONGEST_PAUSE),
}
"""Shortest and longest duration."""
_LEADER_SECONDS = (10.0, 12.0)


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
    alone = sum(_ALONE_SECONDS + fault.seconds for fault in faults if fault.target in ALONE)
    return alone + sum(fault.after + fault.in_calm * _CALM_SECONDS for fault in faults)


def _fault(dice: random.Random, target: Target) -> Fault:
    kinds = KINDS[target]
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    seconds = _SECONDS.get(kind, (0.3, _LONGEST_BREAK))
    if target is Target.LEADER:
        seconds = _LEADER_SECONDS
    return Fault(
        after=dice.uniform(0.05, _LONGEST_GAP),
        in_calm=dice.random() < _CALMS,
        target=target,
        kind=kind,
        which=0 if target is Target.API else dice.randrange(2),
        seconds=dice.uniform(*seconds),
    )
