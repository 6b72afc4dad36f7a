"""The relay: the log goes to Kafka in its order, at least once, by one leader at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from contracts.topics import IMPORT_EVENTS
from eventstore.checkpoints import Checkpoint, Checkpoints
from eventstore.log import EventLog, LogIdentity
from eventstore.model import Recorded
from eventstore.outage import is_database_outage
from eventstore.wakeup import WakeUp, listening
from messaging.cloudevents import encode
from messaging.outage import is_kafka_outage
from messaging.waiting import persist

logger = logging.getLogger(__name__)

CHECKPOINT = "relay"

_TRY_LEADING = "SELECT pg_try_advisory_lock($1)"
_LEADER_LOCK = 0x5350_5245_4156_0003
_HEARTBEAT_SECONDS = 0.5
_HEARTBEAT_TIMEOUT_SECONDS = 2.0
_STANDBY_SECONDS = 0.5

Connect = Callable[[], Coroutine[Any, Any, asyncpg.Connection]]


class LogMismatchError(Exception):
    """The checkpoint names an event that this log does not have: the database was restored."""


class Relay:
    """Publishes every committed event, those of a stream in their order.

    The checkpoint moves after the broker has confirmed, so that a crash repeats and never skips.
    `connect` opens a connection of its own, past any pool or proxy: its advisory lock is the
    leadership, and a leader that stands still loses it by the connection's idle timeout.
    """

    def __init__(
        self,
        log: EventLog,
        log_identity: LogIdentity,
        checkpoints: Checkpoints,
        producer: AIOKafkaProducer,
        connect: Connect,
        *,
        poll_seconds: float,
        batch: int,
    ) -> None:
        self._log = log
        self._identity = log_identity
        self._checkpoints = checkpoints
        self._producer = producer
        self._connect = connect
        self._poll_seconds = poll_seconds
        self._batch = batch

    async def run(self) -> None:
        """Lead or stand by, until cancelled.

        Raises:
            LogMismatchError: the log is not the one that was relayed; an operator has to decide.
        """
        while True:
            try:
                async with self._leadership() as wake_up:
                    await self._publish(wake_up)
            except Exception as error:
                faults = [fault for fault in _leaves(error) if not _passes(fault)]
                if faults:
                    raise faults[0] from error
                logger.warning("relay: leadership lost: %s", next(_leaves(error)))
                await asyncio.sleep(_STANDBY_SECONDS)

    @asynccontextmanager
    async def _leadership(self) -> AsyncIterator[WakeUp]:
        """Hold the leader's lock while the block runs; the block is cancelled when it is lost."""
        connection = await persist("relay: connecting", self._connect, on=is_database_outage)
        try:
            while not await connection.fetchval(_TRY_LEADING, _LEADER_LOCK):  # noqa: ASYNC110
                await asyncio.sleep(_STANDBY_SECONDS)  # another process leads: it has no event
            logger.info("relay: leading")
            wake_up = WakeUp(self._poll_seconds)
            async with listening(connection, wake_up), asyncio.TaskGroup() as group:
                heartbeat = group.create_task(_heartbeat(connection))
                yield wake_up
                heartbeat.cancel()
        finally:
            connection.terminate()

    async def _publish(self, wake_up: WakeUp) -> None:
        after = await self._resume()
        while True:
            events = await self._log.read_all(after, limit=self._batch)
            if not events:
                await wake_up.wait()
                continue
            await persist("relay: publishing", partial(self._send, events), on=is_kafka_outage)
            last = events[-1]
            await self._checkpoints.write(
                CHECKPOINT, Checkpoint(self._identity.log_id, last.position, last.message_id)
            )
            after = last.position

    async def _resume(self) -> int:
        """The position to go on from."""
        checkpoint = await self._checkpoints.read(CHECKPOINT)
        if checkpoint is None:
            return 0
        there = await self._log.message_id_at(checkpoint.position)
        if (checkpoint.log_id, checkpoint.message_id) != (self._identity.log_id, there):
            raise LogMismatchError(
                f"the relay's checkpoint (position {checkpoint.position}) is not in this log: "
                "the database was restored to an earlier time, or replaced"
            )
        return checkpoint.position

    async def _send(self, events: Sequence[Recorded]) -> None:
        """Return when the broker has confirmed every event."""
        confirmations = []
        for recorded in events:
            record = encode(
                log_id=self._identity.log_id,
                stream_id=recorded.stream_id,
                message_id=recorded.message_id,
                event_type=recorded.type,
                recorded_at=recorded.recorded_at,
                position=recorded.position,
                version=recorded.version,
                metadata=recorded.metadata,
                data=recorded.data,
            )
            confirmations.append(
                await self._producer.send(
                    IMPORT_EVENTS, record.value, key=record.key, headers=list(record.headers)
                )
            )
        await asyncio.gather(*confirmations)


async def _heartbeat(connection: asyncpg.Connection) -> None:
    """Keep the leader's connection from its idle timeout; raises when it is gone."""
    while True:
        await connection.fetchval("SELECT 1", timeout=_HEARTBEAT_TIMEOUT_SECONDS)
        await asyncio.sleep(_HEARTBEAT_SECONDS)


def _leaves(error: Exception) -> Iterator[Exception]:
    """The exceptions within groups of groups, or the one that is none."""
    if isinstance(error, ExceptionGroup):
        for within in error.exceptions:
            yield from _leaves(within)
    else:
        yield error


def _passes(error: BaseException) -> bool:
    return is_database_outage(error) or is_kafka_outage(error)
