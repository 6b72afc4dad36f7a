"""The health of a component: how far it is behind, and how long it has made no progress."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple


class ComponentHealth(NamedTuple):
    """The result of the last check of one component."""

    ok: bool
    behind: int = 0
    """Records, events or streams that wait for the component."""
    idle_seconds: float = 0.0
    """Seconds without progress although something waits."""
    detail: str = ""
    """The fault, as a sentence."""
    restart_may_help: bool = True
    """False if a server does not answer, or if another process has to make the progress."""
    needed: bool = True
    """False if the process is ready also without it."""


@dataclass(slots=True)
class Progress:
    """Measures, from one check to the next, how long a component makes no progress."""

    done: Hashable = None
    since: float | None = field(default=None)

    def idle_seconds(self, now: float, *, done: Hashable, behind: int) -> float:
        """Seconds without a change of `done` although something waited; 0 if nothing waits."""
        if behind == 0 or self.since is None or done != self.done:
            self.done, self.since = done, now
        return now - self.since
