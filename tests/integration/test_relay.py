"""The relay: every event, in order, at least once, by one leader."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import leader_connection
from contracts import samples
from contracts.events import RoomImported
from contracts.topics import DEFAULT_PARTITIONS, IMPORT_EVENTS
from eventstore.checkpoints import Checkpoint, Checkpoints
from eventstore.log import EventLog
from eventstore.model import NewEvent
from messaging.cloudevents import CloudEvent, decode
from messaging.requests import producing
from messaging.topics import declare_topics
from worker.relay import CHECKPOINT, LogMismatchError, Relay

pytestmark = pytest.mark.asyncio

ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))


class Subject(NamedTuple):
    """A log, and what relays it to which broker."""

    log: EventLog
    engine: AsyncEngine
    database_url: str
    kafka: str

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[asyncio.Task[None]]:
        """A relay of its own while the block runs."""
        async with producing(self.kafka) as producer:
            relay = Relay(
                self.log,
                await self.log.identity(),
                Checkpoints(self.engine),
                producer,
                partial(leader_connection, self.database_url),
                poll_seconds=0.1,
                batch=7,
            )
            task = asyncio.create_task(relay.run())
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def append(self, stream_id: UUID, expected_version: int, number: int) -> None:
        events = [NewEvent(uuid4(), ROOM) for _ in range(number)]
        await self.log.append(stream_id, expected_version, events)

    async def published(self, number: int) -> list[tuple[str, CloudEvent]]:
        """The first `number` records that are on the topic, with their keys."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, auto_offset_reset="earliest", metadata_max_age_ms=1000
        )
        consumer.assign([TopicPartition(IMPORT_EVENTS, n) for n in range(DEFAULT_PARTITIONS)])
        await consumer.start()
        try:
            found: list[tuple[str, CloudEvent]] = []
            async with asyncio.timeout(30):
                while len(found) < number:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [
                            ((r.key or b"").decode(), decode(r.value or b"", r.headers))
                            for r in records
                        ]
            return found
        finally:
            await consumer.stop()


@pytest.fixture
def subject(log: EventLog, engine: AsyncEngine, database_url: str, own_kafka: str) -> Subject:
    return Subject(log, engine, database_url, own_kafka)


async def declare(subject: Subject) -> None:
    await declare_topics(
        subject.kafka, partitions=DEFAULT_PARTITIONS, replication_factor=1, retention_days=1
    )


async def test_every_event_is_published_in_the_order_of_its_stream(subject: Subject) -> None:
    await declare(subject)
    streams = [uuid4() for _ in range(10)]
    async with subject.relaying():
        for expected_version in (0, 5, 10):
            appends = (subject.append(stream, expected_version, 5) for stream in streams)
            await asyncio.gather(*appends)
        published = await subject.published(150)
    versions: dict[str, list[int]] = defaultdict(list)
    for key, event in published:
        versions[key].append(event.stream_version)
    assert versions == {str(stream): list(range(1, 16)) for stream in streams}
    recorded = await subject.log.read_all(0)
    assert {event.id for _, event in published} == {r.message_id for r in recorded}


async def test_a_relay_goes_on_where_the_last_one_stopped(subject: Subject) -> None:
    await declare(subject)
    stream = uuid4()
    await subject.append(stream, 0, 20)
    async with subject.relaying():
        await subject.published(20)
        await checkpoint_at(subject, 20)
    await subject.append(stream, 20, 5)
    async with subject.relaying():
        await checkpoint_at(subject, 25)
        published = await subject.published(25)
    assert [event.stream_version for _, event in published] == list(range(1, 26))


async def checkpoint_at(subject: Subject, version: int) -> None:
    """Wait until the checkpoint stands at the event of this version of the only stream."""
    last = (await subject.log.read_all(0))[version - 1]
    async with asyncio.timeout(30):
        while True:
            checkpoint = await Checkpoints(subject.engine).read(CHECKPOINT)
            if checkpoint is not None and checkpoint.message_id == last.message_id:
                return
            await asyncio.sleep(0.02)


async def test_only_one_relays_and_another_takes_over(subject: Subject) -> None:
    await declare(subject)
    stream = uuid4()
    await subject.append(stream, 0, 10)
    async with subject.relaying() as first, subject.relaying(), subject.relaying():
        await checkpoint_at(subject, 10)
        first.cancel()
        await subject.append(stream, 10, 10)
        await checkpoint_at(subject, 20)
        assert await leaders(subject) == 1
        await cut_off_the_leader(subject)
        await subject.append(stream, 20, 10)
        await checkpoint_at(subject, 30)
        published = await subject.published(30)
    versions = [event.stream_version for _, event in published]
    assert list(dict.fromkeys(versions)) == list(range(1, 31))


async def leaders(subject: Subject) -> int:
    async with subject.engine.connect() as connection:
        found = await connection.execute(
            text("""
                SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE l.locktype = 'advisory' AND l.granted
                  AND a.application_name = 'spreaview-sync relay'
                  AND a.datname = current_database()
            """)
        )
        return int(found.scalar_one())


async def cut_off_the_leader(subject: Subject) -> None:
    connection = await asyncpg.connect(subject.database_url)
    await connection.execute("""
        SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted
          AND a.application_name = 'spreaview-sync relay' AND a.datname = current_database()
    """)
    await connection.close()


@pytest.mark.parametrize("other_log", [True, False])
async def test_a_log_that_lacks_the_checkpoints_event_is_not_relayed(
    subject: Subject, other_log: bool
) -> None:
    await declare(subject)
    await subject.append(uuid4(), 0, 3)
    log_id = uuid4() if other_log else (await subject.log.identity()).log_id
    third = (await subject.log.read_all(0))[2]
    message_id = third.message_id if other_log else uuid4()
    checkpoint = Checkpoint(log_id, third.position, message_id)
    await Checkpoints(subject.engine).write(CHECKPOINT, checkpoint)
    async with subject.relaying() as relay:
        with pytest.raises(LogMismatchError, match="restored"):
            await asyncio.wait_for(relay, 30)
