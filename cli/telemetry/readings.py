"""The readings of the gathered gauges: from the log, the read models, and the topics.

A reader that would read more with every year keeps its place from one time to the next.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.consumer import GROUP as ERASURES
from cli.brokers import with_known_features
from cli.connections import Addresses
from cli.status.gather import run_of
from cli.status.run_ages import oldest_run
from cli.telemetry.gathering import Reading, Sample, Source
from contracts.topics import DEAD_LETTERS, ERASURE_REQUESTS, IMPORT_EVENTS, LOG_SEALS, SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from eventstore.open_runs import OpenRun, started_runs, still_open
from eventstore.seals import Seal, decode_seal
from messaging.dead_letters.fold import DeadLetters
from messaging.groups import records_waiting
from messaging.publisher import TransactionalPublisher
from messaging.raw_record import RawRecord
from messaging.topic_reader import TopicReader, known_partitions_of, open_topic_reader, to_the_end
from projections.status import projection_figures, removals_held
from worker.relay.checkpoint import CHECKPOINT
from worker.relay.mismatch import GROUP as RELAY
from worker.relay.rewind import read_copies
from worker.sync.consumer import GROUP as WORKERS

_MOST_REQUESTS = 20_000
_POSITIONS = 200_000
"""Positions of the log that are searched for begun runs in one statement."""


def sources_of(addresses: Addresses, engine: AsyncEngine) -> Sequence[Source[Any]]:
    """Return all readings, by the server that they open; `engine` is theirs alone."""

    @asynccontextmanager
    async def database() -> AsyncIterator[AsyncEngine]:
        yield engine

    log = _LogReadings(engine)
    topics = _TopicReadings(addresses, engine)
    of_the_log: Source[AsyncEngine] = Source(
        database,
        (
            Reading("relay", log.relay),
            Reading("projections", log.projections),
            Reading("held_removals", log.held_removals),
            Reading("open_runs", log.open_runs),
        ),
    )
    of_the_topics: Source[TopicReader] = Source(
        lambda: open_topic_reader(addresses.kafka),
        (
            Reading("requests", topics.requests),
            Reading("erasures", topics.erasures),
            Reading("dead_letters", topics.dead_letters),
            Reading("seals", topics.seals),
            Reading("mismatch", topics.mismatch),
        ),
        cancels=False,
    )
    return (of_the_log, of_the_topics)


class _LogReadings:
    """Readings that need PostgreSQL only."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._log = EventLog(engine)
        self._checkpoints = Checkpoints(engine)
        self._searched = 0
        """Position up to which the log was searched for begun runs."""
        self._open: set[OpenRun] = set()

    async def relay(self, _: AsyncEngine) -> Sequence[Sample]:
        """Compare the relay's checkpoint in the database with the head of the log."""
        checkpoint = await self._checkpoints.read(CHECKPOINT)
        behind = await self._log.behind(0 if checkpoint is None else checkpoint.position)
        unpublished = await self._log.unpublished()
        return (
            Sample("spreaview_relay_lag_events", behind.events),
            Sample("spreaview_relay_lag_seconds", behind.seconds),
            Sample("spreaview_relay_unpublished_events", len(unpublished)),
        )

    async def projections(self, engine: AsyncEngine) -> Sequence[Sample]:
        """Compare the applied versions with the log; stopped streams do not lag."""
        found = await projection_figures(engine)
        return (
            Sample("spreaview_projection_lag_events", found.events_behind),
            Sample("spreaview_projection_lag_seconds", found.lag.seconds),
            Sample("spreaview_streams_stopped", found.stopped),
            Sample("spreaview_generation_info", 1, (found.generation, found.filled_by)),
        )

    async def held_removals(self, engine: AsyncEngine) -> Sequence[Sample]:
        """Sum the removals that the last completed run of each stream has held back."""
        return (Sample("spreaview_held_removals", await removals_held(engine)),)

    async def open_runs(self, engine: AsyncEngine) -> Sequence[Sample]:
        """Look at the runs that were open before, and at the runs that have begun since.

        The first time, this reads the start of every run of the log. If time runs out, the next
        call continues.
        """
        head = await self._log.head()
        if head < self._searched:  # the log was restored
            self._searched = 0
        self._open = await still_open(engine, self._open) if self._searched else set()
        while self._searched < head:
            upto = min(head, self._searched + _POSITIONS)
            self._open |= await started_runs(engine, after=self._searched, upto=upto)
            self._searched = upto
        oldest = await oldest_run(engine, list(self._open))
        if not oldest.are_in_log:  # the log was restored meanwhile: search it again
            self._searched = 0
        return (
            Sample("spreaview_open_runs", len(self._open)),
            Sample("spreaview_open_runs_oldest_seconds", oldest.seconds),
        )


class _TopicReadings:
    """Readings that need Kafka, and some of them PostgreSQL."""

    def __init__(self, addresses: Addresses, engine: AsyncEngine) -> None:
        self._addresses = addresses
        self._engine = engine
        self._log = EventLog(engine)
        self._letters = DeadLetters()
        self._newest_seal: Seal | None = None
        self._publisher: TransactionalPublisher | None = None
        self._places: dict[TopicPartition, int] = {}
        """Offsets after the records of dead letters and seals that were read."""

    async def requests(self, reader: TopicReader) -> Sequence[Sample]:
        """Find the requests without an outcome in the log, committed or not.

        A record without readable ids has no run; it becomes a dead letter.
        """
        kafka = self._addresses.kafka
        waiting: dict[OpenRun, float] = {}
        now = datetime.now(UTC).timestamp()
        number = 0
        async for record in records_waiting(kafka, reader, SYNC_REQUESTS, WORKERS):
            if (run := run_of(record)) is not None:
                waiting[run] = min(record.timestamp / 1000, waiting.get(run, now))
            if (number := number + 1) >= _MOST_REQUESTS:
                break
        open_runs = await still_open(self._engine, waiting.keys())
        oldest = min((waiting[run] for run in open_runs), default=now)
        return (
            Sample("spreaview_requests_waiting", len(open_runs)),
            Sample("spreaview_requests_oldest_seconds", max(0.0, now - oldest)),
        )

    async def erasures(self, reader: TopicReader) -> Sequence[Sample]:
        """Find the erasure requests that no worker has committed."""
        number, now = 0, datetime.now(UTC).timestamp()
        oldest = now
        async for record in records_waiting(
            self._addresses.kafka, reader, ERASURE_REQUESTS, ERASURES
        ):
            oldest = min(oldest, record.timestamp / 1000)
            if (number := number + 1) >= _MOST_REQUESTS:
                break
        return (
            Sample("spreaview_erasures_waiting", number),
            Sample("spreaview_erasures_oldest_seconds", now - oldest),
        )

    async def dead_letters(self, reader: TopicReader) -> Sequence[Sample]:
        """Add the new records of the topic to the letters that are known."""
        async for record in self._new_records(reader, DEAD_LETTERS):
            self._letters.add(record)
        return (Sample("spreaview_dead_letters_open", len(self._letters.open())),)

    async def seals(self, reader: TopicReader) -> Sequence[Sample]:
        """Find the newest seal, and the events after it."""
        async for record in self._new_records(reader, LOG_SEALS):
            if record.value:
                seal = decode_seal(record.value)
                if self._newest_seal is None or _order(seal) > _order(self._newest_seal):
                    self._newest_seal = seal
        newest = self._newest_seal
        behind = await self._log.behind(0 if newest is None else newest.position)
        samples = [Sample("spreaview_unsealed_seconds", behind.seconds)]
        if newest is not None:
            age = (datetime.now(UTC) - newest.sealed_at).total_seconds()
            samples.append(Sample("spreaview_seal_age_seconds", max(0.0, age)))
        return samples

    async def mismatch(self, _: TopicReader) -> Sequence[Sample]:
        """Compare both copies of the relay's checkpoint with the log."""
        if self._publisher is None:
            known = await with_known_features(self._addresses)
            self._publisher = TransactionalPublisher(
                known.kafka, IMPORT_EVENTS, RELAY, known.kafka_transactions
            )
        copies = await read_copies(self._log, Checkpoints(self._engine), self._publisher)
        return (Sample("spreaview_relay_mismatch", copies.mismatch is not None),)

    async def _new_records(self, reader: TopicReader, topic: str) -> AsyncIterator[RawRecord]:
        """Yield the records of a topic that no earlier call has yielded."""
        partitions = await known_partitions_of(reader, topic)
        starts = {tp: self._places[tp] for tp in partitions if tp in self._places}
        async for record in to_the_end(reader, partitions, starts=starts):
            yield record
            self._places[TopicPartition(topic, record.partition)] = record.offset + 1


def _order(seal: Seal) -> tuple[datetime, int]:
    return seal.sealed_at, seal.position
