"""Reports the status of the relay, and rewinds it on command."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid4

from contracts.instants import utc_text
from eventstore.checkpoints import Checkpoint, Checkpoints, Unpublished
from eventstore.connection import Connect
from eventstore.leadership import who_leads
from eventstore.log import EventLog
from eventstore.read import Behind
from messaging.cloudevents import log_source
from messaging.publisher import CommittedPosition, TransactionalPublisher
from worker.relay.checkpoint import (
    BEGINNING,
    CHECKPOINT,
    REWOUND,
    checkpoint_of,
    committed_position_of,
    confirm_published,
    confirms,
)
from worker.relay.mismatch import ForeignPositionError, LogMismatchError
from worker.relay.ports import RelayCheckpoints, RelayLeadership, RelayLog, RelayRefusals
from worker.relay.refusals import Refusals

_LAST_POSITION = 2**63 - 1
_HAND_OVER_SECONDS = 10.0
"""Nobody leads for a moment when a worker replaces another; a lost leader's session ends in 3 s."""


class RewindError(Exception):
    """The relay cannot be set to this position; the text has the remedy."""


@dataclass(frozen=True)
class RelayStatus:
    """Status of the relay."""

    leader: str | None
    """Name of the leader's connection, or None."""
    head: int
    """Position of the newest event in the log."""
    checkpoint: Checkpoint | None
    """The copy in the database."""
    committed: CommittedPosition | None
    """The copy in Kafka, on a broker with transactions."""
    published: int
    """Position up to which events are published, by the copies that the log confirms."""
    behind: Behind
    mismatch: str | None
    """Why the relay is stuck: a checkpoint is not in the log, or a restore is not confirmed."""
    unpublished: list[Unpublished]
    """Events that were too large for the topic."""
    stuck_seconds: float = math.inf
    """A leader that is behind for longer publishes nothing."""

    @property
    def is_stuck(self) -> bool:
        """Whether a worker leads and publishes nothing."""
        return self.leader is not None and self.behind.seconds > self.stuck_seconds

    @property
    def is_abandoned(self) -> bool:
        """Whether events wait and nobody leads, for longer than a hand-over takes."""
        limit = min(_HAND_OVER_SECONDS, self.stuck_seconds)
        return self.leader is None and self.behind.seconds > limit

    @property
    def is_well(self) -> bool:
        """Whether no operator has to act."""
        return not (self.mismatch or self.unpublished or self.is_stuck or self.is_abandoned)

    def to_json(self) -> dict[str, object]:
        """Return the document of `relay status --json`."""
        return {
            "well": self.is_well,
            "leader": self.leader,
            "head": self.head,
            "checkpoint": self.checkpoint.position if self.checkpoint else None,
            "kafka_checkpoint": self.committed.position if self.committed else None,
            "published": self.published,
            "behind_events": self.behind.events,
            "behind_seconds": round(self.behind.seconds, 3),
            "mismatch": self.mismatch,
            "unpublished": [
                {
                    "position": event.position,
                    "message_id": str(event.message_id),
                    "reason": event.reason,
                    "since": utc_text(event.since),
                }
                for event in self.unpublished
            ],
        }


async def relay_status(
    log: EventLog,
    checkpoints: Checkpoints,
    publisher: TransactionalPublisher | None,
    connect: Connect,
    *,
    stuck_seconds: float = math.inf,
) -> RelayStatus:
    """Read the status from the database and the broker. Raises their errors if one is down.

    Without a publisher only the database is read, for a broker that does not answer: `committed` is
    None, and a mismatch with Kafka is not noticed.
    """
    copies = await read_copies(log, checkpoints, publisher)
    mismatch = copies.mismatch
    if publisher is not None:
        mismatch = await _mismatch(log, publisher, copies)
    stuck = await log.unconfirmed_restore() if mismatch is None else str(mismatch)
    return RelayStatus(
        leader=await who_leads(connect),
        head=await log.head(),
        checkpoint=copies.checkpoint,
        committed=copies.committed,
        published=copies.published,
        behind=await log.behind(copies.published),
        mismatch=stuck,
        unpublished=await log.unpublished(),
        stuck_seconds=stuck_seconds,
    )


async def log_mismatch(
    log: EventLog, checkpoints: Checkpoints, publisher: TransactionalPublisher
) -> LogMismatchError | None:
    """Return why this log is not the one that was relayed; None if it is. Raises as above."""
    return await _mismatch(log, publisher, await read_copies(log, checkpoints, publisher))


class Copies(NamedTuple):
    """Both copies of the relay's checkpoint, compared with the log."""

    log_id: UUID
    checkpoint: Checkpoint | None
    """The copy in the database."""
    committed: CommittedPosition | None
    """The copy in Kafka, on a broker with transactions."""
    published: int
    """The highest position of a copy that the log confirms; 0 if there is none."""
    mismatch: LogMismatchError | None
    """Why no relay may continue."""


async def read_copies(
    log: EventLog, checkpoints: Checkpoints, publisher: TransactionalPublisher | None
) -> Copies:
    """Read both copies of the checkpoint; without a publisher only the database's.

    Raises the errors of the servers if one is down.
    """
    log_id = await log.log_id()
    checkpoint = await checkpoints.read(CHECKPOINT)
    committed = None if publisher is None else await publisher.committed()
    theirs: Checkpoint | None = None
    mismatch: LogMismatchError | None = None
    try:
        theirs = None if committed is None else checkpoint_of(committed)
    except ForeignPositionError as error:
        mismatch = error
    published = 0
    for copy, kept_by in ((checkpoint, "the database"), (theirs, "Kafka")):
        if copy is None:
            continue
        if await confirms(log, log_id, copy):
            published = max(published, copy.position)
        else:
            mismatch = LogMismatchError(copy, kept_by)
    mismatch = mismatch or await Refusals(log, checkpoints).read()
    return Copies(log_id, checkpoint, committed, published, mismatch)


async def _mismatch(
    log: EventLog, publisher: TransactionalPublisher, copies: Copies
) -> LogMismatchError | None:
    """Compare the end of the topic with the log, too, where Kafka keeps no copy of a checkpoint."""
    if copies.mismatch is not None or publisher.transactions:
        return copies.mismatch
    source = log_source(copies.log_id)
    published = await publisher.published_beyond(source, copies.published)
    try:
        await confirm_published(log, copies.log_id, published, publisher.topic)
    except LogMismatchError as mismatch:
        return mismatch
    return None


async def rewind(
    log: RelayLog,
    checkpoints: RelayCheckpoints,
    publisher: TransactionalPublisher,
    leadership: RelayLeadership,
    *,
    to: int | None,
    restored: bool,
    refusals: RelayRefusals | None = None,
) -> Checkpoint:
    """Set the relay to a position; it publishes all later events, also those published before.

    Takes the leadership, writes both copies of the checkpoint, and gives up the leadership.
    `to` is the position; None stands for the checkpoint of the restored log. With `restored`, for a
    database that was restored or replaced, the log gets a new id, so that subscribers see another
    source, and `to` may skip events that were never published.

    Raises:
        RewindError: `to` is None and the log has no checkpoint of its own; `to` is beyond the
            published events and the database was not restored; or `to` is beyond the head of the
            log.
    """
    async with leadership.deposing() as leader:
        log_id = (await log.identity()).log_id
        if to is None:
            own = await checkpoints.read(CHECKPOINT)
            if own is None or not await confirms(log, log_id, own):
                raise RewindError(
                    "the database has no checkpoint that its own log confirms. Remedy: set the "
                    "position to publish from with --to POSITION; 0 is the beginning"
                )
            to = own.position
        if not restored:
            await _refuse_to_pass_over(log, checkpoints, publisher, to)
        position, message_id = await log.last_event(to) or (0, BEGINNING)
        if position < to:  # a gap, or beyond the head
            await _refuse_beyond_the_head(log, to)
        checkpoint = Checkpoint(uuid4() if restored else log_id, position, message_id)
        if not publisher.transactions:
            await leader.write(REWOUND, await _furthest(checkpoints, publisher, checkpoint))
        async with publisher.opened() as opened:
            if restored:
                # First: after a crash here the log confirms its own checkpoint but not Kafka's.
                await leader.rename_log(CHECKPOINT, checkpoint)
            await opened.send([], committed_position_of(checkpoint))
        await leader.forget_unpublished(position)
        await leader.write(CHECKPOINT, checkpoint)
    if refusals is not None:
        await refusals.clear()
    return checkpoint


async def _furthest(
    checkpoints: RelayCheckpoints, publisher: TransactionalPublisher, rewound: Checkpoint
) -> Checkpoint:
    """The last event on the topic, also if an earlier rewind is not made up for yet."""
    copies = [await checkpoints.read(name) for name in (CHECKPOINT, REWOUND)]
    of_this_log = [copy for copy in copies if copy is not None and copy.log_id == rewound.log_id]
    furthest = max([rewound, *of_this_log], key=lambda copy: copy.position)
    source = log_source(rewound.log_id)
    beyond = await publisher.published_beyond(source, furthest.position)
    position = max(beyond, default=0)
    return Checkpoint(rewound.log_id, position, beyond[position]) if beyond else furthest


async def _refuse_to_pass_over(
    log: RelayLog, checkpoints: RelayCheckpoints, publisher: TransactionalPublisher, to: int
) -> None:
    ours = await checkpoints.read(CHECKPOINT)
    committed, theirs = await publisher.committed(), None
    with suppress(ForeignPositionError):
        theirs = None if committed is None else checkpoint_of(committed)
    published = max(0 if copy is None else copy.position for copy in (ours, theirs))
    if to > published:
        raise RewindError(
            f"position {to} is beyond the relay's position {published}: the events between would "
            f"never be published. Remedy: use a position from 0 to {published}"
        )


async def _refuse_beyond_the_head(log: RelayLog, to: int) -> None:
    head, _ = await log.last_event(_LAST_POSITION) or (0, BEGINNING)
    if to > head:
        raise RewindError(
            f"position {to} is beyond the head of the log, which is at {head}. Remedy: use a "
            f"position from 0 to {head}"
        )
