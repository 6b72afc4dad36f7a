"""What a probe finds: how far a component is behind, and for how long it has not got on."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple


class ComponentHealth(NamedTuple):
    """What was found about one component."""

    ok: bool
    behind: int = 0
    """Records, events or streams that wait for it."""
    idle_seconds: float = 0.0
    """How long it has not got on although something waits."""
    detail: str = ""
    """What is wrong, in a sentence."""
    restart_may_help: bool = True
    """Not where a server does not answer, or another process has to get on."""


@dataclass(slots=True)
class Progress:
    """Tells from one look to the next whether a component gets on."""

    done: Hashable = None
    since: float | None = field(default=None)

    def idle_seconds(self, now: float, *, done: Hashable, behind: int) -> float:
        """How long nothing was done although something waited; 0 if nothing waits."""
        if behind == 0 or self.since is None or done != self.done:
            self.done, self.since = done, now
        return now - self.since
