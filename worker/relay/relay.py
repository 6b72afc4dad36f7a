"""The relay: the log goes to Kafka in its order, by one leader at a time."""

import asyncio
import logging
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from aiokafka.errors import KafkaError

from contracts.error_text import describe_error
from eventstore.checkpoints import Checkpoint, Checkpoints
from eventstore.errors import is_database_outage
from eventstore.leadership import STANDBY_SECONDS, Connect, Leader, leading
from eventstore.log import EventLog
from eventstore.model import Recorded
from eventstore.wakeup import WakeUp
from messaging.backoff import log_working, retry_until_success
from messaging.cloudevents import Record, encode, log_source
from messaging.errors import TOO_LARGE
from messaging.publisher import CommittedPosition, OpenPublisher, TransactionalPublisher

logger = logging.getLogger(__name__)

CHECKPOINT = "relay"
REWOUND = "relay rewound"
"""Where an operator has set the relay back: while it stands there, nothing is skipped."""
GROUP = "spreaview-relay"
_GIVE_WAY_SECONDS = 3 * STANDBY_SECONDS
BEGINNING = UUID(int=0)
"""The message id of a checkpoint at position 0, before every event."""


class LogMismatchError(Exception):
    """A checkpoint names an event that this log does not have: the database was restored."""

    def __init__(self, position: int, kept_by: str) -> None:
        super().__init__(
            f"the checkpoint at position {position} that {kept_by} keeps is not in this log: the "
            "database was restored to an earlier time, or replaced. Nothing is published until an "
            "operator decides: see `spreaview-sync relay status`, then run `spreaview-sync relay "
            "rewind --restored`"
        )


class ForeignPositionError(LogMismatchError):
    """Kafka keeps an offset for the relay that no relay has written: somebody has set it."""

    def __init__(self, committed: CommittedPosition) -> None:
        Exception.__init__(
            self,
            f"the offset {committed.position} that Kafka keeps for the group {GROUP} was not "
            "written by a relay: somebody has set it. Nothing is published until an operator "
            "decides: run `spreaview-sync relay rewind --to POSITION` with the position up to "
            "which `spreaview-sync relay status` says that the log is published",
        )


class Relay:
    """Publishes every committed event, those of a stream in their order.

    On a broker with transactions a batch and its checkpoint are one transaction: each event is
    there once for readers of committed data. Without, the checkpoint moves after the broker has
    confirmed, and a new leader skips what it finds at the end of the topic: a restart repeats
    nothing that was confirmed. A leader that was deposed unawares may repeat its last batch.

    Args:
        connect: opens a connection for the leadership, see `eventstore.leadership.leading`.
        batch: events read and published at once, at most.
    """

    def __init__(
        self,
        log: EventLog,
        checkpoints: Checkpoints,
        publisher: TransactionalPublisher,
        connect: Connect,
        *,
        poll_seconds: float,
        batch: int,
    ) -> None:
        self._log = log
        self._checkpoints = checkpoints
        self._publisher = publisher
        self._connect = connect
        self._poll_seconds = poll_seconds
        self._batch = batch
        self._cautious = _Caution(0, batch)
        self.is_leading = False

    async def run(self) -> None:
        """Lead or stand by, until cancelled.

        Whatever fails gives the leadership up, and waits until every standby has looked, so that
        another process may do better; this one tries again, with backoff. So it does, and says why,
        while the log is not the one that was relayed, or holds an event that only a newer program
        knows.
        """
        while True:
            await retry_until_success(
                "relay", self._lead, on=lambda _: True, first_wait=_GIVE_WAY_SECONDS
            )
            await give_way()

    async def _lead(self) -> None:
        """Lead until it fails. Returns if it had got on before, so that backoff begins anew."""
        has_got_on = False
        wake_up = WakeUp(self._poll_seconds)
        try:
            async with leading(self._connect, wake_up) as leader:
                while True:
                    async with self._publisher.opened() as publisher:
                        turn = await self._turn(leader, publisher)
                        self.is_leading = True
                        logger.info("relay: leading from position %d", turn.checkpoint.position)
                        while not publisher.is_spent:
                            has_got_on |= await self._publish_next(turn)
                            log_working("relay")
                            if turn.is_at_head:
                                await wake_up.wait()
        except Exception as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from error  # a clean-up that fails does not hide it
            reason = next(_leaves(error))
            if not _passes(reason):
                logger.exception("relay: met a fault")
            if not (has_got_on or isinstance(reason, TOO_LARGE)):
                raise reason from error
            logger.warning("relay: leadership given up: %s", describe_error(reason))
        finally:
            self.is_leading = False

    async def _turn(self, leader: Leader, publisher: OpenPublisher) -> "_Turn":
        identity = await self._log.identity()
        checkpoint = await self._resume(leader, publisher, identity.log_id)
        skipped = {row.position for row in await self._log.unpublished()}
        if not self._publisher.transactions:
            skipped |= await self._published_beyond(checkpoint)
        return _Turn(leader, publisher, identity.log_id, checkpoint, skipped)

    async def _published_beyond(self, checkpoint: Checkpoint) -> Set[int]:
        """What the topic holds of a batch that was not confirmed: publishing goes on behind it."""
        if await self._checkpoints.read(REWOUND) == checkpoint:
            return frozenset()
        source = log_source(checkpoint.log_id)
        return await self._publisher.published_beyond(source, checkpoint.position)

    async def _publish_next(self, turn: "_Turn") -> bool:
        """Publish the next events, if there are any; then the checkpoint is behind them."""
        after = turn.checkpoint.position
        limit = self._cautious.batch if after < self._cautious.until else self._batch
        async with turn.leader.publishing():
            events = await self._log.read_all(after, limit=limit)
            turn.is_at_head = not events
            if events:
                await self._publish(turn, events)
        return bool(events)

    async def _publish(self, turn: "_Turn", events: Sequence[Recorded]) -> None:
        last = events[-1]
        checkpoint = Checkpoint(turn.log_id, last.position, last.message_id)
        records = [record_of(e, turn.log_id) for e in events if e.position not in turn.skipped]
        try:
            await turn.publisher.send(records, committed_position_of(checkpoint))
        except TOO_LARGE as error:
            if len(events) == 1:
                await self._pass_over(turn.leader, last, error)
            self._cautious = _Caution(last.position, max(1, len(events) // 10))
            raise
        await turn.leader.write(CHECKPOINT, checkpoint)
        turn.checkpoint = checkpoint

    async def _pass_over(self, leader: Leader, event: Recorded, error: Exception) -> None:
        """An event that the broker refuses for its size does not hold back the others."""
        logger.error(
            "relay: %s at position %d (stream %s, version %d) is too large for the topic, and is "
            "passed over: %s. Remedy: raise max.message.bytes (or segment.bytes) of %s, then "
            "run: spreaview-sync relay rewind --to %d",
            event.type,
            event.position,
            event.stream_id,
            event.version,
            error,
            self._publisher.topic,
            event.position - 1,
        )
        await leader.keep_unpublished(event, describe_error(error))

    async def _resume(self, leader: Leader, publisher: OpenPublisher, log_id: UUID) -> Checkpoint:
        """Where to go on: the later of the two copies, each of which the log has to confirm.

        It is written down even if it stands there: one that was deposed before it opened its outlet
        has fenced its successor, and must find out before it publishes.
        """
        ours = await self._checkpoints.read(CHECKPOINT)
        theirs = None if publisher.committed is None else checkpoint_of(publisher.committed)
        for copy, kept_by in ((ours, "the database"), (theirs, "Kafka")):
            if copy is not None and not await confirms(self._log, log_id, copy):
                raise LogMismatchError(copy.position, kept_by)
        copies = [copy for copy in (ours, theirs) if copy is not None]
        latest = max(copies, key=_position, default=Checkpoint(log_id, 0, BEGINNING))
        await leader.write(CHECKPOINT, latest)
        return latest


async def give_way() -> None:
    """Wait until a standby has taken the leadership, if there is one."""
    await asyncio.sleep(_GIVE_WAY_SECONDS)


@dataclass(slots=True)
class _Turn:
    """What one turn of leading works with."""

    leader: Leader
    publisher: OpenPublisher
    log_id: UUID
    checkpoint: Checkpoint
    skipped: Set[int]
    """Positions of the events that are too large for the topic, or there already."""
    is_at_head: bool = False


class _Caution(NamedTuple):
    """Small batches up to a position: among these events is one that is too large."""

    until: int
    batch: int


async def confirms(log: EventLog, log_id: UUID, checkpoint: Checkpoint) -> bool:
    """Whether the event that a checkpoint names is in the log, at its position."""
    if (checkpoint.position, checkpoint.message_id) == (0, BEGINNING):
        return True
    there = await log.message_id_at(checkpoint.position)
    return (checkpoint.log_id, checkpoint.message_id) == (log_id, there)


def committed_position_of(checkpoint: Checkpoint) -> CommittedPosition:
    """The checkpoint as Kafka keeps it: an offset, and ids in its metadata."""
    return CommittedPosition(checkpoint.position, f"{checkpoint.log_id}/{checkpoint.message_id}")


def checkpoint_of(committed: CommittedPosition) -> Checkpoint:
    """The checkpoint that Kafka kept. Raises `ForeignPositionError`."""
    log_id, _, message_id = committed.note.partition("/")
    try:
        return Checkpoint(UUID(log_id), committed.position, UUID(message_id))
    except ValueError as error:
        raise ForeignPositionError(committed) from error


def _position(checkpoint: Checkpoint) -> int:
    return checkpoint.position


def record_of(recorded: Recorded, log_id: UUID) -> Record:
    """The record of a recorded event, joined and upcast."""
    return encode(
        log_id=log_id,
        stream_id=recorded.stream_id,
        message_id=recorded.message_id,
        event_type=recorded.type,
        recorded_at=recorded.recorded_at,
        position=recorded.position,
        version=recorded.version,
        metadata=recorded.metadata,
        data=recorded.data,
    )


def _leaves(error: Exception) -> Iterator[Exception]:
    """The exceptions within groups of groups, or the one that is none."""
    if isinstance(error, ExceptionGroup):
        for within in error.exceptions:
            yield from _leaves(within)
    else:
        yield error


def _passes(error: BaseException) -> bool:
    """Whether it is known what to wait for: a server, or an operator."""
    return is_database_outage(error) or isinstance(error, KafkaError | LogMismatchError)
