"""The parts of the status, each with its JSON form."""

import math
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias, TypeVar

from contracts.instants import utc_text
from contracts.wording import counted
from eventstore.open_runs import OpenRun
from projections.generations import Generation
from projections.status import ProjectionsStatus
from worker.relay.rewind import RelayStatus

T = TypeVar("T")

_MOST_LISTED = 20
"""Open runs that are listed one by one."""


class Unknown(NamedTuple):
    """A section that could not be read."""

    reason: str
    """A sentence; the remedy, if any, on a line of its own."""
    is_hidden: bool = False
    """Whether the role that asks lacks a right."""
    is_late: bool = False
    """Whether it was given up because a server did not answer in time."""

    def to_json(self) -> dict[str, object]:
        """The reason alone."""
        return {"error": self.reason}


Section: TypeAlias = T | Unknown


class Intake(NamedTuple):
    """The requests that no run has ended yet."""

    waiting: int
    """Requests without an outcome in the log and without a dead letter."""
    oldest_seconds: float
    """Age of the oldest of them; 0 if none waits."""
    workers: int | None
    """Members of the workers' group; None on the sandbox's broker: its count is wrong."""
    idle_seconds: float = 0.0
    """How long the oldest has waited without any run beginning or ending."""
    stuck_seconds: float = math.inf
    """Workers that are idle for longer make no progress."""

    @property
    def is_stuck(self) -> bool:
        """Whether requests wait and no run makes progress.

        The age of the oldest request is not enough: many requests may wait for their turn while
        each run before them waits for Sessionize.
        """
        return self.waiting > 0 and self.idle_seconds > self.stuck_seconds

    @property
    def work(self) -> str:
        """What the workers have to do; empty if nothing waits."""
        return f"{counted(self.waiting, 'request')} waiting" if self.waiting else ""

    @property
    def delay(self) -> str:
        """For how long the workers have made no progress."""
        return f"and no run has begun or ended for {self.idle_seconds:.0f} s"

    def to_json(self) -> dict[str, object]:
        """The number, the age and the workers by name."""
        return {
            "waiting": self.waiting,
            "oldest_seconds": round(self.oldest_seconds, 3),
            "workers": self.workers,
        }


class Erasures(NamedTuple):
    """The requests to forget a speaker that no worker has carried out yet."""

    waiting: int
    oldest_seconds: float
    """Age of the oldest of them; 0 if none waits."""
    stuck_seconds: float = math.inf
    """An erasure takes seconds, so none waits for longer behind others."""

    @property
    def is_stuck(self) -> bool:
        """Whether a request waits for too long, although one is carried out at a time."""
        return self.oldest_seconds > self.stuck_seconds

    @property
    def work(self) -> str:
        """What the workers have to do; empty if nothing waits."""
        return f"{counted(self.waiting, 'erasure request')} waiting" if self.waiting else ""

    @property
    def delay(self) -> str:
        """For how long the oldest request has waited."""
        return f"the oldest for {self.oldest_seconds:.0f} s"

    def to_json(self) -> dict[str, object]:
        """The number and the age by name."""
        return {"waiting": self.waiting, "oldest_seconds": round(self.oldest_seconds, 3)}


class Relay(NamedTuple):
    """The relay, by both copies of its checkpoint, or by the database's alone."""

    status: RelayStatus
    unread: Unknown | None = None
    """Why Kafka's copy could not be read; the status is the database's then."""

    def to_json(self) -> dict[str, object]:
        """The document of `relay status --json`, and the error if a part could not be read."""
        unread = {} if self.unread is None else self.unread.to_json()
        return self.status.to_json() | unread


class ReadModels(NamedTuple):
    """The read models, and who builds them."""

    status: ProjectionsStatus
    projectors: Section[int | None]
    """Members of the projectors' group; None on the sandbox's broker."""

    def to_json(self) -> dict[str, object]:
        """The document of `projections status --json`, and the number of projectors."""
        known = None if isinstance(self.projectors, Unknown) else self.projectors
        return self.status.to_json() | {"projectors": known}


class OpenLetters(NamedTuple):
    """The dead letters that nobody has resolved."""

    open: int
    oldest: datetime | None
    """When the record of the first of them was received."""

    def to_json(self) -> dict[str, object]:
        """The fields by name, the time as text."""
        oldest = None if self.oldest is None else utc_text(self.oldest, "seconds")
        return {"open": self.open, "oldest": oldest}


class OpenRuns(NamedTuple):
    """The runs that have begun and not ended."""

    runs: list[OpenRun]
    oldest_seconds: float = 0.0
    """Since the beginning of the oldest of them; 0 if none is open."""
    stuck_seconds: float = math.inf
    """A run that a worker carries out ends sooner, also while Sessionize does not answer."""

    @property
    def is_stuck(self) -> bool:
        """Whether a run has been open for too long."""
        return self.oldest_seconds > self.stuck_seconds

    @property
    def work(self) -> str:
        """What the workers have to end; empty if no run is open."""
        return f"{counted(len(self.runs), 'run')} open" if self.runs else ""

    @property
    def delay(self) -> str:
        """For how long the oldest run has been open."""
        return f"the oldest for {self.oldest_seconds:.0f} s"

    def to_json(self) -> dict[str, object]:
        """Their number, the age of the oldest, and the ids of the first 20."""
        listed = [
            {"sync_id": str(run.sync_id), "spreaview_event_id": str(run.stream_id)}
            for run in self.runs[:_MOST_LISTED]
        ]
        oldest = round(self.oldest_seconds, 3)
        return {"open": len(self.runs), "oldest_seconds": oldest, "runs": listed}


class Generations(NamedTuple):
    """The generations of the read models, by number."""

    all: list[Generation]

    @property
    def live(self) -> Generation | None:
        """The generation that the public views show."""
        return next((generation for generation in self.all if generation.live), None)

    def to_json(self) -> dict[str, object]:
        """The number of the live one, and each with its state."""
        return {
            "live": None if self.live is None else self.live.number,
            "all": [{"number": each.number, "state": each.state} for each in self.all],
        }


class Seals(NamedTuple):
    """The seals that are published."""

    streams: int
    """Streams with a seal."""
    newest: datetime | None
    position: int = 0
    """Position of the newest event that a seal covers."""

    def age_seconds(self, now: datetime) -> float:
        """Seconds since the newest seal; 0 if there is none."""
        return 0.0 if self.newest is None else max(0.0, (now - self.newest).total_seconds())

    def to_json(self) -> dict[str, object]:
        """The fields by name, and the age of the newest seal in seconds."""
        newest = None if self.newest is None else utc_text(self.newest, "seconds")
        age = None if self.newest is None else round(self.age_seconds(datetime.now(UTC)), 3)
        return {"streams": self.streams, "newest": newest, "age_seconds": age}


Shown: TypeAlias = (
    Intake | Erasures | Relay | ReadModels | OpenLetters | OpenRuns | Generations | Seals
)
"""A part that could be read."""
