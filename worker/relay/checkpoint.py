"""The relay's checkpoint and its two copies: one in the database, one in Kafka."""

from collections.abc import Mapping
from uuid import UUID

from eventstore.checkpoints import Checkpoint
from messaging.publisher import CommittedPosition
from worker.relay.mismatch import ForeignPositionError, TopicMismatchError
from worker.relay.ports import RelayLog

CHECKPOINT = "relay"
REWOUND = "relay rewound"
"""The last event on the topic when an operator rewound the relay: up to it nothing is skipped."""
BEGINNING = UUID(int=0)
"""Message id of the checkpoint at position 0, before every event."""


async def confirms(log: RelayLog, log_id: UUID, checkpoint: Checkpoint) -> bool:
    """Return whether the log has the checkpoint's event at the checkpoint's position."""
    if (checkpoint.position, checkpoint.message_id) == (0, BEGINNING):
        return True
    there = await log.message_id_at(checkpoint.position)
    return (checkpoint.log_id, checkpoint.message_id) == (log_id, there)


async def confirm_published(
    log: RelayLog, log_id: UUID, published: Mapping[int, UUID], topic: str
) -> None:
    """Raise `TopicMismatchError` if the newest event on the topic is not in the log.

    The newest suffices: after a restore, events beyond the restored time are on the topic only.
    """
    newest = max(published, default=None)
    if newest is not None and await log.message_id_at(newest) != published[newest]:
        raise TopicMismatchError(Checkpoint(log_id, newest, published[newest]), topic)


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
