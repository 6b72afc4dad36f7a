"""The relay's checkpoint and its two copies: one in the database, one in Kafka."""

from collections.abc import Mapping
from uuid import UUID

from eventstore.checkpoints import Checkpoint
from messaging.publisher import CommittedPosition
from worker.relay.ports import RelayLog

CHECKPOINT = "relay"
REWOUND = "relay rewound"
"""Checkpoint to which an operator rewound the relay: from there it skips nothing."""
GROUP = "spreaview-relay"
BEGINNING = UUID(int=0)
"""Message id of the checkpoint at position 0, before every event."""


class LogMismatchError(Exception):
    """A checkpoint names an event that is not in this log: the database was replaced."""

    def __init__(self, position: int, kept_by: str) -> None:
        super().__init__(
            f"the checkpoint at position {position} that {kept_by} keeps is not in this log: the "
            "database was restored to an earlier time, or replaced. Nothing is published until an "
            "operator decides: see `spreaview-sync relay status`, then run `spreaview-sync relay "
            "rewind --restored`"
        )


class TopicMismatchError(LogMismatchError):
    """The topic has an event that is not in this log: the database was replaced."""

    def __init__(self, position: int, topic: str) -> None:
        Exception.__init__(
            self,
            f"the event at position {position} on {topic} is not in this log: the database was "
            "restored to an earlier time, or replaced. Nothing is published until an operator "
            "decides: see `spreaview-sync relay status`, then run `spreaview-sync relay rewind "
            "--restored`",
        )


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


async def confirms(log: RelayLog, log_id: UUID, checkpoint: Checkpoint) -> bool:
    """Return whether the log has the checkpoint's event at the checkpoint's position."""
    if (checkpoint.position, checkpoint.message_id) == (0, BEGINNING):
        return True
    there = await log.message_id_at(checkpoint.position)
    return (checkpoint.log_id, checkpoint.message_id) == (log_id, there)


async def confirm_published(log: RelayLog, published: Mapping[int, UUID], topic: str) -> None:
    """Raise `TopicMismatchError` if the newest event on the topic is not in the log.

    The newest suffices: after a restore, events beyond the restored time are on the topic only.
    """
    newest = max(published, default=None)
    if newest is not None and await log.message_id_at(newest) != published[newest]:
        raise TopicMismatchError(newest, topic)


def committed_position_of(checkpoint: Checkpoint) -> CommittedPosition:
    """Return the checkpoint as Kafka keeps it: an offset with the ids in its metadata."""
    return CommittedPosition(checkpoint.position, f"{checkpoint.log_id}/{checkpoint.message_id}")


def checkpoint_of(committed: CommittedPosition) -> Checkpoint:
    """Return the checkpoint that Kafka keeps. Raises `ForeignPositionError`."""
    log_id, _, message_id = committed.note.partition("/")
    try:
        return Checkpoint(UUID(log_id), committed.position, UUID(message_id))
    except ValueError as error:
        raise ForeignPositionError(committed) from error
