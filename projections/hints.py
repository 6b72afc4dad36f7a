"""Hints of the log: they make events visible without the way over Kafka (ADR 0030).

The log notifies its listeners at each commit. A projector then catches up the changed streams that
are in its own partitions, so that two projectors rarely meet at one stream. A hint that is lost
costs only time: the Kafka record of the event follows.
"""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.listening import keep_listening
from eventstore.log import EventLog
from eventstore.read import HINTED_EVENTS
from eventstore.wakeup import CHANNEL, WakeUp
from messaging.backoff import retry_until_success
from projections.projector import Projector, is_outage

_QUIET_SECONDS = 60.0
"""Time between two looks at the log without a notification."""


class LogHints:
    """Has a projector catch up its streams as soon as the log announces events.

    Args:
        connect: opens a direct connection: a transaction pooler delivers no notifications.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        projector: Projector,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
    ) -> None:
        self._log = EventLog(engine)
        self._projector = projector
        self._connect = connect
        self._wake_up = WakeUp(_QUIET_SECONDS)

    async def listen(self) -> None:
        """Take the notifications of the log, until cancelled."""
        hint = self._wake_up.hint
        await keep_listening(self._connect, CHANNEL, lambda _: hint(), hint)

    async def follow(self) -> None:
        """Follow the log from its head, until cancelled; older events come by Kafka."""
        position = await retry_until_success("projector: hints", self._log.head, on=is_outage)
        while True:
            before = position
            position, streams = await self._next(position)
            if streams:
                await self._projector.catch_up(streams)
                if position - before < HINTED_EVENTS:
                    await self._wake_up.gather(streams)
            else:
                await self._wake_up.wait()

    async def _next(self, after: int) -> tuple[int, Sequence[UUID]]:
        """Return the position reached, and the changed streams up to it in our partitions."""
        position, streams = await retry_until_success(
            "projector: hints", lambda: self._log.changed_streams(after), on=is_outage
        )
        return position, [stream for stream in streams if self._projector.reads(stream)]
