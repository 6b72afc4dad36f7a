"""The probes: one per component, each asking a server that the component does not speak for."""

from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import IMPORT_EVENTS
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from messaging.concurrent_intake import ConcurrentIntake
from messaging.lag import GroupLag
from projections.lag import oldest_lag
from worker.relay import CHECKPOINT, Relay


class Work(NamedTuple):
    """What a component has done, and what waits for it."""

    done: Hashable
    """Something that changes whenever it gets on."""
    behind: int
    is_ours: bool = True
    """Whether it is this process that has to get on: a restart of another would not help."""


class Probe(NamedTuple):
    """Looks at one component."""

    component: str
    look: Callable[[], Awaitable[Work]]
    """Raises where a server does not answer."""


def intake_probe(intake: ConcurrentIntake, lag: GroupLag) -> Probe:
    """The group's committed offsets against the ends of the partitions that are ours."""

    async def look() -> Work:
        partitions = {tp.partition: tp for tp in intake.partitions}
        found = await lag.look(partitions.values())
        committed = tuple(sorted((number, p.committed) for number, p in found.items()))
        behind = [
            p.behind
            for number, p in found.items()
            if p.behind and not await intake.is_through(partitions[number], p.end)
        ]
        return Work(committed, sum(behind))

    return Probe("intake", look)


def relay_probe(relay: Relay, log: EventLog, checkpoints: Checkpoints) -> Probe:
    """The relay's checkpoint against the head of the log. A standby is not to blame."""

    async def look() -> Work:
        checkpoint = await checkpoints.read(CHECKPOINT)
        position = checkpoint.position if checkpoint else 0
        behind = await log.behind(position)
        return Work(position, behind.events, is_ours=relay.is_leading)

    return Probe("relay", look)


def projector_probe(engine: AsyncEngine) -> Probe:
    """The stream that has lagged behind the log for longest. Stopped ones are not waited for."""

    async def look() -> Work:
        lag = await oldest_lag(engine)
        return Work((lag.stream_id, lag.version), lag.streams)

    return Probe("projector", look)


def database_probe(log: EventLog) -> Probe:
    """Whether PostgreSQL answers."""

    async def look() -> Work:
        return Work(await log.head(), 0)

    return Probe("PostgreSQL", look)


def kafka_probe(lag: GroupLag) -> Probe:
    """Whether Kafka answers."""

    async def look() -> Work:
        await lag.look([TopicPartition(IMPORT_EVENTS, 0)])
        return Work(0, 0)

    return Probe("Kafka", look)
