"""The records of the topics, read by librdkafka, and the offsets of the groups."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

_ADMIN_SECONDS = 20.0
_READ_SECONDS = 60.0


class Record(NamedTuple):
    """A record as another client reads it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def id(self) -> UUID:
        """`ce_id`."""
        return UUID(self.headers["ce_id"].decode())

    @property
    def position(self) -> int:
        """`ce_position`."""
        return int(self.headers["ce_position"])

    @property
    def version(self) -> int:
        """`ce_streamversion`."""
        return int(self.headers["ce_streamversion"])


class Topic(NamedTuple):
    """All records of a topic."""

    records: list[Record]
    """Records, in order per partition."""

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record by partition, without empty partitions.

        What stands beyond is no record: a transaction ends with a marker.
        """
        return {record.partition: record.offset + 1 for record in self.records}


async def read_topic(address: str, topic: str, isolation: str) -> Topic:
    """Read every record that is visible at an isolation level now.

    Raises:
        TimeoutError: the end was not reached.
    """
    return await asyncio.to_thread(_read, address, topic, isolation)


async def committed(
    address: str, topic: str, group: str, partitions: Iterable[int]
) -> dict[int, int]:
    """Return the offsets of a group, with 0 where it has none."""
    return await asyncio.to_thread(_committed, address, topic, group, sorted(partitions))


def _consumer(address: str, **settings: Any) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": address,
            "group.id": str(uuid4()),
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        | {name.replace("_", "."): value for name, value in settings.items()}
    )


def _read(address: str, topic: str, isolation: str) -> Topic:
    deadline = time.monotonic() + _READ_SECONDS
    with closing(
        _consumer(address, isolation_level=isolation, enable_partition_eof=True)
    ) as consumer:
        described = consumer.list_topics(topic, timeout=_ADMIN_SECONDS).topics[topic]
        open_ = set(described.partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in sorted(open_)])
        records = []
        while open_:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read to its end")
            for message in consumer.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard(message.partition())
        return Topic(records)


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers: dict[str, Any] = dict(message.headers() or [])
    return Record(partition, offset, message.key(), message.value(), headers)


def _committed(address: str, topic: str, group: str, partitions: list[int]) -> dict[int, int]:
    with closing(_consumer(address, group_id=group)) as consumer:
        asked = [TopicPartition(topic, number) for number in partitions]
        found = consumer.committed(asked, timeout=_ADMIN_SECONDS)
    return {place.partition: max(0, place.offset) for place in found}
