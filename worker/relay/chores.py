"""Periodic chores of the leader: sealing the log and deleting old documents."""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import LOG_SEALS
from contracts.wording import counted
from eventstore.log import EventLog
from eventstore.seals import encode_seal, heads
from messaging.backoff import retry_until_success
from messaging.producer import Producer
from worker.relay.relay import Relay

logger = logging.getLogger(__name__)

_PRUNE_SECONDS = 600.0


async def seal_from_time_to_time(
    engine: AsyncEngine, producer: Producer, relay: Relay, *, seconds: float
) -> None:
    """Publish a seal of every stream that has changed since the last time. Runs until cancelled.

    Works only while this process leads; a new leader starts with all streams. Repeating a seal is
    harmless, because the topic keeps the newest seal of each stream.
    """
    sealed = 0
    while True:
        await asyncio.sleep(seconds)
        if relay.is_leading:
            again = partial(seal, engine, producer, after=sealed)
            sealed = await retry_until_success("sealing the log", again, on=lambda _: True)
        else:
            sealed = 0


async def seal(engine: AsyncEngine, producer: Producer, *, after: int = 0) -> int:
    """Publish seals of the streams with events after a position; return the position reached."""
    log = EventLog(engine)
    head, log_id = await log.head(), (await log.identity()).log_id
    confirmations = []
    async for one in heads(engine, log_id, after=after):
        key = str(one.stream_id).encode()
        confirmations.append(await producer.send(LOG_SEALS, encode_seal(one), key=key))
        head = max(head, one.position)  # the log may have grown meanwhile
    async with producer.explaining_clocks(LOG_SEALS):
        await asyncio.gather(*confirmations)
    return head


async def prune_from_time_to_time(log: EventLog, relay: Relay, age: timedelta) -> None:
    """Delete the documents that no run has used for `age`, while leading. Runs until cancelled."""
    while True:
        if relay.is_leading:
            deleted = await retry_until_success(
                "deleting old documents", lambda: log.prune_sources(age), on=lambda _: True
            )
            if deleted:
                logger.info("deleted %s", counted(deleted, "old document"))
        await asyncio.sleep(_PRUNE_SECONDS)
