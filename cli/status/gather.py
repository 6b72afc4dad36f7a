"""Gathers the status from the parts that know it; each section is read by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.consumer import GROUP as ERASURES
from audit.transfer.seal_files import published_seals
from cli.brokers import is_sandbox, relay_publisher, with_known_features
from cli.connections import Addresses, leader_connection
from cli.errors import CommandError, MissingRightError
from cli.runfile import resolve
from cli.servers import kafka_errors, open_database
from cli.settings import Settings
from cli.status.report import Status
from cli.status.run_ages import oldest_run, seconds_since_progress
from cli.status.sections import (
    Erasures,
    Generations,
    Intake,
    OpenLetters,
    OpenRuns,
    ReadModels,
    Relay,
    Seals,
    Section,
    Unknown,
)
from contracts.messages import InvalidRequestError, UnreadableRequestError, decode_request
from contracts.topics import ERASURE_REQUESTS, SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.damage import DamagedLogError
from eventstore.log import EventLog
from eventstore.open_runs import OpenRun, started_runs, still_open
from eventstore.schema_version import SchemaVersionError
from messaging.connection import KafkaConnection
from messaging.dead_letters.fold import DeadLetters
from messaging.dead_letters.resolution import read_letters
from messaging.groups import group_state, records_waiting
from messaging.publisher import TransactionalPublisher
from messaging.raw_record import RawRecord
from messaging.topic_reader import open_topic_reader
from projections.generations import list_generations
from projections.projector import GROUP as PROJECTORS
from projections.status import projections_status
from worker.relay.rewind import RelayStatus, relay_status
from worker.sync.consumer import GROUP as WORKERS

T = TypeVar("T")

SECTION_SECONDS = 10.0
"""Time limit of a section of `status`."""
_KAFKA_SHARE = 0.75
"""Kafka's share of the limit, in sections that PostgreSQL alone can show for the most part."""
READERS = (
    *("intake", "erasures", "relay", "read_models"),
    *("letters", "open_runs", "generations", "seals"),
)
"""The methods of `Sections`, in the order of the fields of `Status`."""


async def gather_status(settings: Settings) -> Status:
    """Read everything. A section that cannot be read names the reason, and the others are read.

    A section that is late leaves its connections to the end of the process.

    Raises:
        SettingsError: an address is missing.
    """
    return await Sections(settings, resolve(settings)).read_all()


async def read_section(read: Callable[[], Awaitable[T]]) -> Section[T]:
    """Read a section, or name the reason why it could not be read."""
    try:
        return await read()
    except (CommandError, SchemaVersionError, DamagedLogError) as error:
        return Unknown(str(error), isinstance(error, MissingRightError))


async def _in_time(read: Callable[[], Awaitable[T]], seconds: float) -> Section[T]:
    """Read a section; one that does not end in time is not known."""
    reading = asyncio.ensure_future(read_section(read))
    done, _ = await asyncio.wait({reading}, timeout=seconds)
    if not done:
        reading.cancel()  # without waiting for its end: a server may not answer
        return Unknown(f"no answer within {seconds:g} s", is_late=True)
    return reading.result()


class Sections:
    """Reads the sections; each has connections of its own, so that none depends on another.

    `kafka_is_away` is the reason why Kafka does not answer, for a caller that knows it: no section
    waits for Kafka then.
    """

    def __init__(
        self,
        settings: Settings,
        addresses: Addresses,
        *,
        seconds: float = SECTION_SECONDS,
        kafka_is_away: str = "",
    ) -> None:
        self._seconds = seconds
        self._settings = settings
        self._addresses = addresses
        self._kafka_is_away = kafka_is_away

    async def read_all(self) -> Status:
        """Read every section, each within the limit of `seconds`."""
        readers = (_in_time(getattr(self, name), self._seconds) for name in READERS)
        return Status(*await asyncio.gather(*readers))

    async def _if_kafka_answers(self, read: Callable[[], Awaitable[T]]) -> Section[T]:
        """Read a part that the rest of its section does not need."""
        return await _in_time(read, _KAFKA_SHARE * self._seconds)

    @contextmanager
    def _kafka(self) -> Iterator[KafkaConnection]:
        """The broker; raises `CommandError` if it does not answer, at once if that is known."""
        if self._kafka_is_away:
            raise CommandError(self._kafka_is_away)
        with kafka_errors(self._addresses.kafka):
            yield self._addresses.kafka

    async def intake(self) -> Intake:
        """A request waits while the log has no outcome of it, committed or not."""
        with self._kafka() as kafka:
            async with open_topic_reader(kafka) as reader:
                letters = await read_letters(reader)
                records = [
                    record
                    async for record in records_waiting(kafka, reader, SYNC_REQUESTS, WORKERS)
                ]
            workers = await self._members(WORKERS)
        async with open_database(self._settings) as engine:
            waiting = await _without_outcome(engine, records, letters)
            progress = await seconds_since_progress(engine)
        oldest = _oldest_seconds(waiting)
        idle = min(oldest, progress)
        return Intake(len(waiting), oldest, workers, idle, self._settings.stuck_seconds)

    async def erasures(self) -> Erasures:
        """A request waits until a worker has committed it."""
        with self._kafka() as kafka:
            async with open_topic_reader(kafka) as reader:
                waiting = [
                    record
                    async for record in records_waiting(kafka, reader, ERASURE_REQUESTS, ERASURES)
                ]
        return Erasures(len(waiting), _oldest_seconds(waiting), self._settings.stuck_seconds)

    async def relay(self) -> Relay:
        """The relay, by the copies of the checkpoint that the log confirms.

        While Kafka does not answer, it is the database's copy.
        """
        async with open_database(self._settings, pool_size=2) as engine:
            found = await self._if_kafka_answers(partial(self._relay_by_both, engine))
            if not isinstance(found, Unknown):
                return Relay(found)
            return Relay(await self._relay_status(engine, None), found)

    async def _relay_by_both(self, engine: AsyncEngine) -> RelayStatus:
        with self._kafka():
            addresses = await with_known_features(self._addresses)
            return await self._relay_status(engine, relay_publisher(addresses))

    async def _relay_status(
        self, engine: AsyncEngine, publisher: TransactionalPublisher | None
    ) -> RelayStatus:
        connect = partial(leader_connection, *self._addresses.for_sessions)
        return await relay_status(
            EventLog(engine),
            Checkpoints(engine),
            publisher,
            connect,
            stuck_seconds=self._settings.stuck_seconds,
        )

    async def read_models(self) -> ReadModels:
        """The read models, also while Kafka does not answer."""
        async with open_database(self._settings, pool_size=2) as engine:
            status = await projections_status(engine, stuck_seconds=self._settings.stuck_seconds)
        return ReadModels(status, await self._if_kafka_answers(partial(self._members, PROJECTORS)))

    async def letters(self) -> OpenLetters:
        """The open dead letters, each record once."""
        with self._kafka() as kafka:
            async with open_topic_reader(kafka) as reader:
                opened = (await read_letters(reader)).open()
        oldest = min((letter.first_received_ms for letter in opened), default=None)
        received = None if oldest is None else datetime.fromtimestamp(oldest / 1000, UTC)
        return OpenLetters(len(opened), received)

    async def open_runs(self) -> OpenRuns:
        """The runs without an outcome, the first that began first."""
        async with open_database(self._settings) as engine:
            started = await started_runs(engine, after=0, upto=await EventLog(engine).head())
            unfinished = await still_open(engine, set(started))
            runs = [run for run in started if run in unfinished]
            oldest = await oldest_run(engine, runs)
        return OpenRuns(runs, oldest.seconds, self._settings.stuck_seconds)

    async def generations(self) -> Generations:
        """The generations of the read models."""
        async with open_database(self._settings) as engine, engine.connect() as connection:
            return Generations(await list_generations(connection))

    async def seals(self) -> Seals:
        """The newest seal of each stream."""
        with self._kafka() as kafka:
            published = await published_seals(kafka)
        newest = max((seal.sealed_at for seal in published), default=None)
        position = max((seal.position for seal in published), default=0)
        return Seals(len(published), newest, position)

    async def _members(self, group_id: str) -> int | None:
        with self._kafka() as kafka:
            if await is_sandbox(kafka):
                return None  # it still counts members that have left
            async with open_topic_reader(kafka) as reader:
                return (await group_state(reader.admin, group_id)).members


async def _without_outcome(
    engine: AsyncEngine, records: list[RawRecord], letters: DeadLetters
) -> list[RawRecord]:
    """The records that have neither an outcome in the log nor a dead letter."""
    lettered = {letter.place for letter in letters.all()}
    runs: dict[OpenRun, list[RawRecord]] = {}
    unreadable: list[RawRecord] = []
    for record in records:
        if (record.topic, record.partition, record.offset) in lettered:
            continue
        if (run := run_of(record)) is None:
            unreadable.append(record)
        else:
            runs.setdefault(run, []).append(record)
    waiting = await still_open(engine, set(runs))
    return [*unreadable, *(record for run in waiting for record in runs[run])]


def run_of(record: RawRecord) -> OpenRun | None:
    """Return the run of a request; None without readable ids: it will become a dead letter."""
    try:
        ids = decode_request(record.value or b"")
    except InvalidRequestError as invalid:
        return OpenRun(invalid.ids.spreaview_event_id, invalid.ids.request_id)
    except UnreadableRequestError:
        return None
    return OpenRun(ids.spreaview_event_id, ids.request_id)


def _oldest_seconds(records: Sequence[RawRecord]) -> float:
    """The age of the oldest record; 0 without one."""
    now = datetime.now(UTC).timestamp()
    return max(0.0, now - min((record.timestamp / 1000 for record in records), default=now))
