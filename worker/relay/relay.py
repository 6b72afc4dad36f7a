"""The relay: publishes the log to Kafka in order, by one leader at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from aiokafka.errors import KafkaError

from contracts.outage_text import describe_outage
from eventstore.checkpoints import Checkpoint
from eventstore.errors import is_database_outage
from eventstore.leadership import STANDBY_SECONDS, Leader
from eventstore.model import Recorded
from eventstore.restored import UnconfirmedRestoreError
from eventstore.wakeup import WakeUp
from messaging.backoff import log_working, retry_until_success
from messaging.cloudevents import TRACEPARENT, Record, encode, log_source
from messaging.errors import TOO_LARGE
from messaging.observer import UNOBSERVED, Observer
from messaging.publisher import OpenPublisher, TransactionalPublisher
from worker.relay.checkpoint import (
    BEGINNING,
    CHECKPOINT,
    REWOUND,
    checkpoint_of,
    committed_position_of,
    confirm_published,
    confirms,
)
from worker.relay.mismatch import LogMismatchError
from worker.relay.ports import RelayCheckpoints, RelayLeadership, RelayLog, RelayRefusals

logger = logging.getLogger(__name__)

_GIVE_WAY_SECONDS = 3 * STANDBY_SECONDS


class Relay:
    """Publishes every committed event, in order per stream.

    On a broker with transactions, a batch and its checkpoint are one transaction: readers of
    committed data see each event exactly once. Without transactions, the checkpoint moves after the
    broker has confirmed the batch. A new leader then skips events that it finds at the end of the
    topic, so a restart repeats no confirmed event. Only a leader that does not know that it was
    deposed may repeat its last batch.

    Args:
        wake_up: wakes the leader when there may be new events.
        batch: maximum number of events to read and publish together.
        may_publish: raises while an operator has to act before anything is published.
        refusals: keep for other processes why nothing is published.
    """

    def __init__(
        self,
        log: RelayLog,
        checkpoints: RelayCheckpoints,
        publisher: TransactionalPublisher,
        leadership: RelayLeadership,
        wake_up: WakeUp,
        *,
        batch: int,
        observer: Observer = UNOBSERVED,
        may_publish: Callable[[], Awaitable[None]] | None = None,
        refusals: RelayRefusals | None = None,
    ) -> None:
        self._observer = observer
        self._may_publish = may_publish
        self._refusals = refusals
        self._log = log
        self._checkpoints = checkpoints
        self._publisher = publisher
        self._leadership = leadership
        self._wake_up = wake_up
        self._batch = batch
        self._cautious = _Caution(0, batch)
        self.is_leading = False

    async def run(self) -> None:
        """Lead or stand by, until cancelled.

        After any error the relay gives up the leadership and waits until every standby has had a
        turn, because another process may succeed. Then it retries, with backoff. It also logs the
        reason and retries while the log is not the one that was relayed, or has an event that only
        a newer program can read.
        """
        while True:
            await retry_until_success(
                "relay", self.lead, on=lambda _: True, first_wait=_GIVE_WAY_SECONDS
            )
            # A standby, if there is one, takes the leadership meanwhile.
            await asyncio.sleep(_GIVE_WAY_SECONDS)

    async def lead(self) -> None:
        """Stand by, then lead until an error.

        Returns if events were published before, so that `run` starts its backoff again; otherwise
        raises the error.
        """
        has_published = False
        try:
            async with self._leadership.leading(self._wake_up) as leader:
                while True:
                    async with self._publisher.opened() as publisher:
                        turn = await self._turn(leader, publisher)
                        if self._refusals is not None:
                            await self._refusals.clear()
                        self.is_leading = True
                        position = turn.checkpoint.position
                        logger.info(
                            "relay: leading from position %d",
                            position,
                            extra={"position": position},
                        )
                        while not publisher.is_spent:
                            has_published |= await self._publish_next(turn)
                            log_working("relay")
                            if turn.is_at_head:
                                await self._wake_up.wait()
                            else:
                                await self._wake_up.gather(turn.streams)
        except Exception as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from error  # not the error of a clean-up
            reason = next(_leaves(error))
            if not can_pass(reason):
                logger.exception("relay: met a fault")
            if isinstance(reason, LogMismatchError):
                await self._refuse(reason)
            if not (has_published or isinstance(reason, TOO_LARGE)):
                raise reason from error
            logger.warning("relay: leadership given up: %s", describe_outage(reason))
        finally:
            self.is_leading = False

    async def _refuse(self, reason: LogMismatchError) -> None:
        if self._refusals is not None:
            await self._refusals.note(reason)

    async def _turn(self, leader: Leader, publisher: OpenPublisher) -> "_Turn":
        if self._may_publish is not None:
            await self._may_publish()
        identity = await self._log.identity()
        checkpoint = await self._resume(leader, publisher, identity.log_id)
        skipped = {row.position for row in await self._log.unpublished()}
        if not self._publisher.transactions:
            skipped |= (await self._published_beyond(checkpoint)).keys()
        return _Turn(leader, publisher, identity.log_id, checkpoint, skipped)

    async def _published_beyond(self, checkpoint: Checkpoint) -> Mapping[int, UUID]:
        """Return the events of an unconfirmed batch that are on the topic already.

        Raises:
            TopicMismatchError: the newest of them is not in this log.
        """
        rewound = await self._checkpoints.read(REWOUND)
        if rewound is not None and _is_within(checkpoint, rewound):
            return {}  # what the topic has beyond it may be from before the rewind
        source = log_source(checkpoint.log_id)
        published = await self._publisher.published_beyond(source, checkpoint.position)
        await confirm_published(self._log, checkpoint.log_id, published, self._publisher.topic)
        return published

    async def _publish_next(self, turn: "_Turn") -> bool:
        """Publish the next events and move the checkpoint; return whether there were any."""
        after = turn.checkpoint.position
        limit = self._cautious.batch if after < self._cautious.until else self._batch
        async with turn.leader.publishing():
            events = await self._log.read_all(after, limit=limit)
            turn.is_at_head = not events
            turn.streams = {event.stream_id for event in events} if len(events) < limit else ()
            if events:
                await self._publish(turn, events)
        return bool(events)

    async def _publish(self, turn: "_Turn", events: Sequence[Recorded]) -> None:
        last = events[-1]
        checkpoint = Checkpoint(turn.log_id, last.position, last.message_id)
        records = [record_of(e, turn.log_id) for e in events if e.position not in turn.skipped]
        try:
            with self._observer.batch("send", (e.metadata.get(TRACEPARENT) for e in events)):
                await turn.publisher.send(records, committed_position_of(checkpoint))
        except TOO_LARGE as error:
            if len(events) == 1:
                await self._pass_over(turn.leader, last, error)
            self._cautious = _Caution(last.position, max(1, len(events) // 10))
            raise
        await turn.leader.write(CHECKPOINT, checkpoint)
        turn.checkpoint = checkpoint

    async def _pass_over(self, leader: Leader, event: Recorded, error: Exception) -> None:
        """Record that the broker refuses an event for its size, so that later ones follow."""
        logger.error(
            "relay: %s at position %d (stream %s, version %d) is too large for the topic and "
            "is skipped: %s. Remedy: raise max.message.bytes (or segment.bytes) of %s, then "
            "run: spreaview-sync relay rewind --to %d",
            event.type,
            event.position,
            event.stream_id,
            event.version,
            describe_outage(error),
            self._publisher.topic,
            event.position - 1,
            extra={
                "position": event.position,
                "spreaview_event_id": event.stream_id,
                "event_type": event.type,
            },
        )
        await leader.keep_unpublished(event, describe_outage(error))

    async def _resume(self, leader: Leader, publisher: OpenPublisher, log_id: UUID) -> Checkpoint:
        """Return the later of the two checkpoints; the log must confirm both.

        Write it even if unchanged: a deposed leader may just have fenced its successor, and this
        write on the lost session stops it before it publishes.

        Raises:
            LogMismatchError: a checkpoint names an event that is not in this log.
        """
        ours = await self._checkpoints.read(CHECKPOINT)
        theirs = None if publisher.committed is None else checkpoint_of(publisher.committed)
        for copy, kept_by in ((ours, "the database"), (theirs, "Kafka")):
            if copy is not None and not await confirms(self._log, log_id, copy):
                raise LogMismatchError(copy, kept_by)
        copies = [copy for copy in (ours, theirs) if copy is not None]
        latest = max(copies, key=_position, default=Checkpoint(log_id, 0, BEGINNING))
        await leader.write(CHECKPOINT, latest)
        return latest


@dataclass(slots=True)
class _Turn:
    """State of the relay between opening a publisher and closing it."""

    leader: Leader
    publisher: OpenPublisher
    log_id: UUID
    checkpoint: Checkpoint
    skipped: Set[int]
    """Positions of events that are too large for the topic, or already on it."""
    is_at_head: bool = False
    streams: Collection[UUID] = ()
    """Those of the last batch, unless it was full."""


class _Caution(NamedTuple):
    """Batch size up to a position, because one of the events before it is too large."""

    until: int
    batch: int


def _is_within(checkpoint: Checkpoint, rewound: Checkpoint) -> bool:
    return checkpoint.log_id == rewound.log_id and checkpoint.position <= rewound.position


def _position(checkpoint: Checkpoint) -> int:
    return checkpoint.position


def record_of(recorded: Recorded, log_id: UUID) -> Record:
    """Return the record of a recorded event, joined and upcast."""
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
    """Yield the exceptions of nested groups, or the exception itself."""
    if isinstance(error, ExceptionGroup):
        for within in error.exceptions:
            yield from _leaves(within)
    else:
        yield error


def can_pass(error: BaseException) -> bool:
    """Return whether the cause can pass: a server is down, or an operator has to decide."""
    waits = isinstance(error, KafkaError | LogMismatchError | UnconfirmedRestoreError)
    return waits or is_database_outage(error)
