"""Separate topics for a test of dead letters, and records as the worker receives them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from messaging.connection import KafkaConnection
from messaging.dead_letters.fold import DeadLetter
from messaging.dead_letters.records import dead_letter
from messaging.dead_letters.resolution import read_letters, retry
from messaging.raw_record import RawRecord
from messaging.requests import producing
from messaging.topic_reader import TopicReader, open_topic_reader, partitions_of, record_at

PARTITIONS = 6
PATIENCE = 30.0


def a_record(
    topic: str,
    place: tuple[int, int],
    *,
    value: bytes | None = b"not JSON",
    key: bytes | None = b"key",
    headers: Any = (),
    timestamp: int = 1_000,
) -> RawRecord:
    """Create a consumer's record; place: partition and offset, timestamp: ms."""
    made: RawRecord = ConsumerRecord(
        *(topic, *place, timestamp, 0, key, value, None, len(key or b""), len(value or b"")),
        headers=tuple(headers),
    )
    return made


class Kafka(NamedTuple):
    """A broker with two topics for one test."""

    address: str
    requests: str
    letters: str
    reader: TopicReader
    producer: AIOKafkaProducer

    async def came(self, value: bytes | None, partition: int = 2, **given: Any) -> RawRecord:
        """Publish a request; return its record as the worker receives it."""
        sent = await self.producer.send_and_wait(
            self.requests, value, partition=partition, **({"key": b"event"} | given)
        )
        place = TopicPartition(self.requests, sent.partition)
        record = await record_at(self.reader, place, sent.offset)
        assert record is not None
        return record

    async def dead_letter_of(
        self, record: RawRecord, by: AIOKafkaProducer | None = None
    ) -> DeadLetter:
        """Dead-letter the record; return its dead letter."""
        before = {letter.name for letter in await self.all()}
        await dead_letter(by or self.producer, record, "no ids", topic=self.letters)
        (letter,) = [letter for letter in await self.all() if letter.name not in before]
        return letter

    async def retry(self, letter: DeadLetter, by: Any = None) -> RawRecord:
        """Retry the request; return its new record."""
        published = await retry(
            *(self.reader, by or self.producer, letter),
            topic=self.letters,
            requests=self.requests,
        )
        place = TopicPartition(published.topic, published.partition)
        record = await record_at(self.reader, place, published.offset)
        assert record is not None
        return record

    async def all(self) -> list[DeadLetter]:
        return (await read_letters(self.reader, self.letters)).all()

    async def open(self) -> list[DeadLetter]:
        return (await read_letters(self.reader, self.letters)).open()


@asynccontextmanager
async def topics(address: str, letters: dict[str, str] | None = None) -> AsyncIterator[Kafka]:
    names = [f"test-{kind}-{uuid4()}" for kind in ("requests", "letters")]
    made = [
        NewTopic(name, PARTITIONS, 1, topic_configs=configs)
        for name, configs in zip(names, (None, letters), strict=True)
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        answer = await admin.create_topics(made)
        assert [code for _, code, *_ in answer.topic_errors] == [0, 0]
        async with (
            open_topic_reader(KafkaConnection(address)) as reader,
            producing(KafkaConnection(address)) as producer,
        ):
            async with asyncio.timeout(PATIENCE):  # a broker may learn of them a moment later
                while not all([await partitions_of(reader, n) for n in names]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            yield Kafka(address, names[0], names[1], reader, producer)
        await admin.delete_topics(names)
    finally:
        await admin.close()


@asynccontextmanager
async def small_producer(address: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer that refuses records over 100 kB itself."""
    async with AIOKafkaProducer(bootstrap_servers=address, max_request_size=100_000) as producer:
        yield producer
