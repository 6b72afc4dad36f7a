"""Why the relay publishes nothing: the log is not the one that was published."""

from eventstore.checkpoints import Checkpoint
from messaging.publisher import CommittedPosition

GROUP = "spreaview-relay"
"""The group under which Kafka keeps the relay's position."""

_RESTORED = (
    "is not in this log: the database was restored to an earlier time, or replaced. Nothing is "
    "published until an operator decides: see `spreaview-sync relay status`, then run "
    "`spreaview-sync relay rewind --restored`"
)


class LogMismatchError(Exception):
    """A checkpoint names an event that is not in this log: the database was replaced."""

    event: Checkpoint | None = None
    """The event that the log lacks; None if the error is not about one."""

    def __init__(self, copy: Checkpoint, kept_by: str) -> None:
        self.event = copy
        super().__init__(
            f"the checkpoint at position {copy.position} that {kept_by} keeps {_RESTORED}"
        )


class TopicMismatchError(LogMismatchError):
    """Kafka has an event that is not in this log: the database was replaced."""

    def __init__(self, event: Checkpoint, on: str) -> None:
        self.event = event
        Exception.__init__(self, f"the event at position {event.position} on {on} {_RESTORED}")


class ForeignPositionError(LogMismatchError):
    """No relay has written the offset that Kafka keeps for the relay: somebody else has set it."""

    def __init__(self, committed: CommittedPosition) -> None:
        Exception.__init__(
            self,
            f"the offset {committed.position} that Kafka keeps for the group {GROUP} was not "
            "written by a relay: somebody has set it. Nothing is published until an operator "
            "decides: run `spreaview-sync relay rewind --to POSITION` with the position up to "
            "which `spreaview-sync relay status` says that the log is published",
        )
