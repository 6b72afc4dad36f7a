"""A log for one test, its relay, and the view of the topic's readers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import leader_connection
from contracts import samples
from contracts.events import RoomImported
from contracts.topics import DEFAULT_PARTITIONS
from eventstore.checkpoints import Checkpoint, Checkpoints
from eventstore.connection import Connect
from eventstore.leadership import Leadership
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.restored import confirm_place
from eventstore.wakeup import WakeUp
from messaging.cloudevents import CloudEvent, decode
from messaging.publisher import TransactionalPublisher
from messaging.topic_reader import open_topic_reader, partitions_of, to_the_end
from worker.relay.checkpoint import CHECKPOINT
from worker.relay.refusals import Refusals
from worker.relay.relay import Relay
from worker.relay.rewind import RelayStatus, relay_status, rewind

ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
PATIENCE = 30.0


@dataclass
class Subject:
    """A log and the collaborators of its relay."""

    log: EventLog
    engine: AsyncEngine
    database_url: str
    publisher: TransactionalPublisher

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.engine)

    @property
    def refusals(self) -> Refusals:
        return Refusals(self.log, self.checkpoints)

    @property
    def connect(self) -> Connect:
        return partial(leader_connection, self.database_url)

    @property
    def leadership(self) -> Leadership:
        return Leadership(self.connect)

    def relay(self, *, batch: int = 7) -> Relay:
        return Relay(
            self.log,
            self.checkpoints,
            self.publisher,
            self.leadership,
            WakeUp(poll_seconds=0.1),
            batch=batch,
            refusals=self.refusals,
        )

    @asynccontextmanager
    async def relaying(self, *, batch: int = 7) -> AsyncIterator[asyncio.Task[None]]:
        """Run another relay while the block runs."""
        task = asyncio.create_task(self.relay(batch=batch).run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def append(
        self, stream_id: UUID, expected_version: int, number: int, *, name: str = "Hall"
    ) -> None:
        events = [NewEvent(uuid4(), replace(ROOM, name=name)) for _ in range(number)]
        await self.log.append(Commit(stream_id, expected_version, events))

    async def published(self, number: int, *, committed: bool = True) -> list[CloudEvent]:
        """Return the first `number` events of the topic."""
        async with self._reading(committed=committed) as consumer:
            found: list[CloudEvent] = []
            while len(found) < number:
                found += await _next_events(consumer)
            return found

    async def all_published(self) -> list[CloudEvent]:
        """Return every current event of the topic, as readers of committed data see it."""
        async with self._reading(committed=True) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            found: list[CloudEvent] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                found += await _next_events(consumer)
            return found

    async def on_the_topic(self) -> list[CloudEvent]:
        """Return every current event of the topic, on any broker."""
        async with open_topic_reader(self.publisher.kafka) as reader:
            partitions = await partitions_of(reader, self.publisher.topic)
            records = to_the_end(reader, partitions)
            return [decode(record.value or b"", record.headers) async for record in records]

    @asynccontextmanager
    async def _reading(self, *, committed: bool) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.publisher.kafka.bootstrap_servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed" if committed else "read_uncommitted",
        )
        topic = self.publisher.topic
        consumer.assign([TopicPartition(topic, n) for n in range(DEFAULT_PARTITIONS)])
        await consumer.start()
        try:
            async with asyncio.timeout(PATIENCE):
                yield consumer
        finally:
            await consumer.stop()

    async def caught_up(self) -> None:
        """Wait until the checkpoint has reached the head of the log."""
        head = await self.log.head()
        async with asyncio.timeout(PATIENCE):
            while True:
                checkpoint = await self.checkpoints.read(CHECKPOINT)
                if checkpoint is not None and checkpoint.position == head:
                    return
                await asyncio.sleep(0.02)

    async def status(self) -> RelayStatus:
        return await relay_status(self.log, self.checkpoints, self.publisher, self.connect)

    async def rewind(self, to: int | None, *, restored: bool = False) -> Checkpoint:
        """Rewind; a restored log is confirmed as well, as its operator does next."""
        checkpoint = await rewind(
            self.log,
            self.checkpoints,
            self.publisher,
            self.leadership,
            to=to,
            restored=restored,
            refusals=self.refusals,
        )
        if restored:
            async with self.engine.begin() as connection:
                await confirm_place(connection)
        return checkpoint


async def _next_events(consumer: AIOKafkaConsumer) -> list[CloudEvent]:
    answer = await consumer.getmany(timeout_ms=500)
    return [decode(r.value or b"", r.headers) for records in answer.values() for r in records]


def versions(events: Sequence[CloudEvent]) -> list[int]:
    return [event.stream_version for event in events]
