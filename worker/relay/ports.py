"""Ports of the relay: the log, its checkpoints, and the leadership as the relay uses them."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from eventstore.checkpoints import Checkpoint, Unpublished
from eventstore.leadership import Leader
from eventstore.log import LogIdentity
from eventstore.model import Recorded
from eventstore.wakeup import WakeUp
from worker.relay.mismatch import LogMismatchError


class RelayLog(Protocol):
    """The log as the relay reads it; `EventLog` has the guarantees and errors."""

    async def identity(self) -> LogIdentity:
        """Return the identity of the log."""

    async def read_all(self, after: int, *, limit: int) -> list[Recorded]:
        """Return the next events after a position, in order."""

    async def message_id_at(self, position: int) -> UUID | None:
        """Return the message id of the event at a position, if there is one."""

    async def last_event(self, position: int) -> tuple[int, UUID] | None:
        """Return position and message id of the newest event at or before a position."""

    async def unpublished(self) -> list[Unpublished]:
        """Return the events that the broker refused because of their size, by position."""


class RelayCheckpoints(Protocol):
    """The relay's checkpoints in the database; a leader writes them."""

    async def read(self, name: str) -> Checkpoint | None:
        """Return the checkpoint, or None for a reader that starts at the beginning."""


class RelayRefusals(Protocol):
    """The reason why nothing is published, kept for other processes."""

    async def note(self, refused: LogMismatchError) -> None:
        """Keep the event that was published and is not in the log."""

    async def clear(self) -> None:
        """Forget it: the relay publishes again, or an operator has rewound it."""


class RelayLeadership(Protocol):
    """The leadership of the log; `eventstore.leadership.Leadership` has the guarantees."""

    def leading(self, wake_up: WakeUp) -> AbstractAsyncContextManager[Leader]:
        """Stand by until no other process leads, then lead while the block runs."""

    def deposing(self) -> AbstractAsyncContextManager[Leader]:
        """Take the leadership from the current leader, and lead while the block runs."""
