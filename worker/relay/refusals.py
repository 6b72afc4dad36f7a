"""What the relay refuses to pass over, kept in the log's database for every other process.

After a restore in place the database and its checkpoint fit together. Only the relay sees in Kafka
that events are missing, so it leaves a note, and nobody serves the log until it is gone.
"""

from eventstore.checkpoints import Checkpoint, Checkpoints
from eventstore.log import EventLog
from worker.relay.checkpoint import BEGINNING, confirms
from worker.relay.mismatch import LogMismatchError, TopicMismatchError

REFUSED = "relay refused"
"""Checkpoint with an event that was published and that the log does not have."""


class Refusals:
    """The note of the relay: the published event that the log lacks."""

    def __init__(self, log: EventLog, checkpoints: Checkpoints) -> None:
        self._log = log
        self._checkpoints = checkpoints

    async def note(self, refused: LogMismatchError) -> None:
        """Keep the event, if the refusal is about one."""
        if refused.event is not None:
            await self._checkpoints.write(REFUSED, refused.event)

    async def clear(self) -> None:
        """Forget the note: the relay publishes, or an operator has rewound it."""
        found = await self._checkpoints.read(REFUSED)
        if found is not None and found.position:
            await self._checkpoints.write(REFUSED, Checkpoint(found.log_id, 0, BEGINNING))

    async def read(self) -> LogMismatchError | None:
        """Return the refusal; None if there is none, or the log has the event after all."""
        found = await self._checkpoints.read(REFUSED)
        if found is None or await confirms(self._log, await self._log.log_id(), found):
            return None
        return TopicMismatchError(found, "Kafka")
