"""The probes: one per component, each asking a server that the component does not speak for."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import IMPORT_EVENTS
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from messaging.access import check
from messaging.connection import KafkaConnection
from messaging.keyed_consumer import ConcurrentIntake
from messaging.lag import GroupLag
from projections.status import oldest_lag
from worker.relay.relay import CHECKPOINT, Relay

_ANSWER_SECONDS = 2.0


class Workload(NamedTuple):
    """What a component, or a part of it, has done, and what waits for it."""

    done: Hashable
    """Something that changes whenever it gets on."""
    behind: int
    part: str = ""
    """Which part, where each has to get on for itself."""
    is_ours: bool = True
    """Whether it is this process that has to get on: a restart of another would not help."""


class Probe(NamedTuple):
    """Looks at one component."""

    component: str
    look: Callable[[], Awaitable[Sequence[Workload]]]
    """Raises where a server does not answer."""
    is_server: bool = False
    """While it does not answer, nobody else is to blame for standing still."""


def intake_probe(intake: ConcurrentIntake, lag: GroupLag) -> Probe:
    """The group's committed offsets against the ends of the partitions that are ours.

    A partition gets on when its oldest request does, so one that hangs is seen, whatever the others
    do.
    """

    async def look() -> list[Workload]:
        partitions = {tp.partition: tp for tp in intake.partitions}
        found = await lag.look(partitions.values())
        return [
            Workload(p.committed, p.behind, part=f"partition {number}")
            for number, p in sorted(found.items())
            if p.behind and not await intake.is_through(partitions[number], p.end)
        ]

    return Probe("intake", look)


def relay_probe(relay: Relay, log: EventLog, checkpoints: Checkpoints) -> Probe:
    """The relay's checkpoint against the head of the log. A standby is not to blame."""

    async def look() -> list[Workload]:
        checkpoint = await checkpoints.read(CHECKPOINT)
        position = checkpoint.position if checkpoint else 0
        behind = await log.behind(position)
        return [Workload(position, behind.events, is_ours=relay.is_leading)]

    return Probe("relay", look)


def projector_probe(engine: AsyncEngine) -> Probe:
    """The stream that has lagged behind the log for longest. Stopped ones are not waited for."""

    async def look() -> list[Workload]:
        lag = await oldest_lag(engine)
        return [Workload((lag.stream_id, lag.version), lag.streams)]

    return Probe("projector", look)


def database_probe(log: EventLog) -> Probe:
    """Whether PostgreSQL answers."""

    async def look() -> list[Workload]:
        await log.head()
        return []

    return Probe("PostgreSQL", look, is_server=True)


def kafka_probe(kafka: KafkaConnection, lag: GroupLag | None = None) -> Probe:
    """Whether Kafka answers; the error of a look says why it does not.

    Args:
        kafka: how it is reached.
        lag: a connection that is there; without one, every look makes one of its own.
    """

    async def look() -> list[Workload]:
        if lag is None:
            await check(kafka)
            return []
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await lag.look([TopicPartition(IMPORT_EVENTS, 0)])
        except (KafkaError, TimeoutError):
            await check(kafka)  # a client that has started does not say why it lost its connection
            raise
        return []

    return Probe("Kafka", look, is_server=True)
