"""Members of a consumer group that process records concurrently, for tests of the consumer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream import FastStream
from faststream.kafka import KafkaBroker

from contracts.topics import DEFAULT_PARTITIONS
from messaging.batch_consumer import ConsumerLog, Membership
from messaging.connection import KafkaConnection
from messaging.keyed_consumer import KeyedConsumer, KeyedTask
from messaging.raw_record import RawRecord
from messaging.requests import producing

PATIENCE = 40.0


@dataclass
class Member:
    """A member of the group and its processed records, whose values are `key:number`."""

    intake: KeyedConsumer
    done: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)


@dataclass
class Group:
    """A topic and the consumer group that reads it."""

    address: str
    topic: str
    session_seconds: float
    name: str = field(default_factory=lambda: f"group-{uuid4()}")
    gates: dict[str, asyncio.Event] = field(default_factory=dict)

    async def publish(self, *values: str, partition: int | None = None) -> None:
        async with producing(KafkaConnection(self.address)) as producer:
            for value in values:
                key = value.partition(":")[0].encode()
                await producer.send_and_wait(
                    self.topic, value.encode(), key=key, partition=partition
                )

    def hold(self, value: str) -> None:
        """Let the task of a record wait until it is released."""
        self.gates[value] = asyncio.Event()

    def let_go(self, value: str) -> None:
        self.gates[value].set()

    @asynccontextmanager
    async def member(
        self,
        *,
        concurrency: int = 8,
        in_flight: int = 100,
        in_flight_bytes: int = 1024 * 1024,
        dies: bool = False,
    ) -> AsyncIterator[Member]:
        """Run a member while the block runs. A member that `dies` commits nothing at its end."""

        def task_of(record: RawRecord) -> KeyedTask:
            value = (record.value or b"").decode()
            if value == "unreadable":
                raise ValueError(value)
            return KeyedTask(value.partition(":")[0], lambda: work(value))

        async def work(value: str) -> None:
            member.running.add(value)
            if value in self.gates:
                await self.gates[value].wait()
            member.running.discard(value)
            member.done.append(value)

        intake = KeyedConsumer(
            self.topic,
            task_of,
            membership=Membership(self.name, self.session_seconds),
            concurrency=concurrency,
            in_flight=in_flight,
            in_flight_bytes=in_flight_bytes,
        )
        member = Member(intake)
        kafka = KafkaBroker(
            self.address, logger=ConsumerLog(self.topic), allow_auto_create_topics=False
        )
        kafka.include_router(intake.router())
        app = FastStream(kafka, logger=None)
        committing = asyncio.create_task(intake.commit())
        await app.start()
        try:
            yield member
        finally:
            committing.cancel()
            if not dies:
                await intake.drain(PATIENCE)
            await app.stop()
            await intake._queues.drain(0)

    async def committed(self) -> dict[int, int]:
        """Return the committed offsets of the group by partition, as a member reads them."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, group_id=self.name)
        partitions = [TopicPartition(self.topic, number) for number in range(DEFAULT_PARTITIONS)]
        consumer.assign(partitions)
        await consumer.start()
        try:
            found = {tp.partition: await consumer.committed(tp) for tp in partitions}
        finally:
            await consumer.stop()
        return {partition: offset for partition, offset in found.items() if offset is not None}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.01)


async def until_committed(group: Group, expected: dict[int, int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await group.committed() != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
