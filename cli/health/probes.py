"""One probe per component: it reads progress from PostgreSQL or Kafka, not from the component."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.checkpoints import Checkpoints
from eventstore.damage import DamagedLogError
from eventstore.log import EventLog
from eventstore.restored import check_confirmed
from messaging.access import check
from messaging.backoff import is_failing
from messaging.connection import KafkaConnection
from messaging.keyed_consumer import KeyedConsumer
from messaging.lag import GroupLag
from messaging.publisher import TransactionalPublisher
from projections.http.feed.tail import COMPONENT as FEED
from projections.http.tokens import COMPONENT as TOKENS
from projections.http.tokens import TokenFileError, Tokens
from projections.projector import RETRIED
from projections.status import oldest_lag
from worker.relay.relay import Relay
from worker.relay.rewind import read_copies

CALLER = "health"
"""Distinguishes the failures that the monitor logs from failures of the operations themselves."""

_ANSWER_SECONDS = 2.0


class Workload(NamedTuple):
    """The finished and the waiting work of a component, or of a part of it."""

    done: Hashable
    """Any value that changes with every progress."""
    behind: int
    part: str = ""
    """The name of the part, if each part has to make progress by itself."""
    is_ours: bool = True
    """Whether this process has to make the progress and can; else its restart would not help."""


class Probe(NamedTuple):
    """A check of one component."""

    component: str
    look: Callable[[], Awaitable[Sequence[Workload]]]
    """Raises if a server does not answer."""
    is_server: bool = False
    """While a server does not answer, no other component is reported as stuck."""
    is_needed: bool = True
    """Whether the process is not ready while the check fails."""
    is_apart: bool = False
    """Whether it is checked although a server does not answer: its faults have other causes."""

    def for_some_work(self) -> "Probe":
        """Return the check of a server without which most of the work is done all the same."""
        return self._replace(is_server=False, is_needed=False, is_apart=True)


def intake_probe(intake: KeyedConsumer, lag: GroupLag, component: str = "intake") -> Probe:
    """Compare the committed offsets with the ends of the partitions of this process.

    A partition makes progress only when its oldest request ends, so one stuck request is found even
    while all others succeed. As long as that request waits for its turn, the end of any other is
    progress, too. While a request waits for PostgreSQL, as on a full disk, a restart would not
    help.
    """

    async def look() -> list[Workload]:
        partitions = {tp.partition: tp for tp in intake.partitions}
        found = await lag.look(partitions.values())
        return [
            Workload(
                (p.committed, intake.progress_of_others(partitions[number])),
                p.behind,
                part=f"partition {number}",
                is_ours=not is_failing("PostgreSQL", besides=CALLER),
            )
            for number, p in sorted(found.items())
            if p.behind and not await intake.is_through(partitions[number], p.end)
        ]

    return Probe(component, look)


def relay_probe(
    relay: Relay, log: EventLog, checkpoints: Checkpoints, publisher: TransactionalPublisher
) -> Probe:
    """Compare the relay's checkpoint with the head of the log; a standby is never stuck.

    A check fails if the log does not have the event of a checkpoint: nobody publishes then.
    """

    async def look() -> list[Workload]:
        copies = await read_copies(log, checkpoints, publisher)
        if copies.mismatch is not None:
            raise copies.mismatch
        behind = await log.behind(copies.published)
        return [Workload(copies.published, behind.events, is_ours=relay.is_leading)]

    return Probe("relay", look)


def projector_probe(engine: AsyncEngine) -> Probe:
    """Check the stream that has lagged behind the log for longest; stopped streams do not count.

    While the projector waits for PostgreSQL, a restart would not help.
    """

    async def look() -> list[Workload]:
        lag = await oldest_lag(engine)
        waits = any(is_failing(what, besides=CALLER) for what in RETRIED)
        return [Workload((lag.stream_id, lag.version), lag.streams, is_ours=not waits)]

    return Probe("projector", look)


def database_probe(ask: Callable[[], Awaitable[object]]) -> Probe:
    """Check that PostgreSQL answers; the error of a failed check contains the reason."""

    async def look() -> list[Workload]:
        await ask()
        return []

    return Probe("PostgreSQL", look, is_server=True)


def replica_probe(replica: AsyncEngine) -> Probe:
    """Check that the replica answers that queries read; nothing else needs it."""

    async def look() -> list[Workload]:
        await EventLog(replica).head()
        return []

    return Probe("replica", look, is_apart=True)


def restore_probe(engine: AsyncEngine) -> Probe:
    """Check that the log was not restored without its erasures; the error has the remedy."""

    async def look() -> list[Workload]:
        await check_confirmed(engine)
        return []

    return Probe("restore", look)


def tokens_probe(tokens: Tokens) -> Probe:
    """Check that the token file can be used; a process with a wrong one serves, and stays ready."""

    async def look() -> list[Workload]:
        if (error := tokens.refresh()) is not None:
            raise TokenFileError(error)
        return []

    return Probe(TOKENS, look, is_needed=False, is_apart=True)


def feed_probe(fault: Callable[[], str | None]) -> Probe:
    """Check that the feed can read the log; a process with a stuck one answers everything else."""

    async def look() -> list[Workload]:
        if (reason := fault()) is not None:
            raise DamagedLogError(reason)
        return []

    return Probe(FEED, look, is_needed=False, is_apart=True)


def kafka_probe(
    kafka: KafkaConnection,
    lag: GroupLag | None = None,
    topics: Sequence[str] = (),
    explain: Callable[[], Awaitable[object]] | None = None,
) -> Probe:
    """Check that Kafka answers; the error of a failed check contains the reason.

    Args:
        kafka: the brokers and the way to connect to them.
        lag: an open connection; without one, every check opens its own.
        topics: looked at through that connection.
        explain: called when Kafka answers, but not about the topics; raises the reason.
    """

    async def look() -> list[Workload]:
        if lag is None:
            await check(kafka)
            return []
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                for topic in topics:
                    await lag.look([TopicPartition(topic, 0)])
        except (KafkaError, TimeoutError):
            # Both give the reason: a started client hides why it lost its connection, and waits
            # without an end for a topic that is gone.
            await check(kafka)
            if explain is not None:
                await explain()
            raise
        return []

    return Probe("Kafka", look, is_server=True)
