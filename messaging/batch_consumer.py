"""Consumers of batches: offsets are committed only after their records have been processed.

FastStream's own acknowledgement would lose a message whose handler fails, because the consumer's
position moves past it. So acknowledgement is manual, and a failing batch is retried in place. The
handler gets raw records with undecoded bytes and headers: FastStream would otherwise skip a record
that has a header in another encoding than UTF-8 before our code runs.
"""

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import NamedTuple, Protocol, TypeAlias

from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from faststream import AckPolicy
from faststream.kafka import KafkaMessage as PlainKafkaMessage
from faststream.kafka import KafkaRouter
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber

from contracts.outage_text import describe_outage
from messaging import aiokafka_patches as fetching
from messaging.backoff import log_failing, log_working, retry_until_success
from messaging.raw_record import RawRecord

logger = logging.getLogger(__name__)

BatchHandler: TypeAlias = Callable[[Sequence[RawRecord]], Awaitable[None]]
RawHandler: TypeAlias = Callable[[AIOKafkaConsumer, Sequence[RawRecord]], Awaitable[None]]


_FETCHING = "fetching from Kafka"


class ConsumerLog:
    """A logger for FastStream that logs only fetch errors, once per change of state.

    `topic` is the one that the consumer reads.
    """

    def __init__(self, topic: str | None = None) -> None:
        self._topic = topic

    def log(
        self,
        level: int,
        msg: object,
        /,
        *,
        exc_info: object = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log an exception, unless fetching is known to fail."""
        if isinstance(exc_info, Exception):
            log_failing(_FETCHING, describe_outage(exc_info), operation=self._topic)


class _HasConsumer(Protocol):
    consumer: AIOKafkaConsumer | None


class Membership(NamedTuple):
    """Membership in a consumer group."""

    group_id: str
    session_seconds: float = 10.0
    """A member without a heartbeat for this long loses its partitions to the others."""

    @property
    def heartbeat_seconds(self) -> float:
        """The time between two heartbeats. A member hears of a rebalance by its next one.

        So the heartbeats bound the pause while processes are replaced, by two of them for each.
        """
        return min(0.5, self.session_seconds / 3)


class Assignment:
    """The partitions of a topic that a subscriber reads now; none until it has started."""

    def __init__(self, subscriber: _HasConsumer, topic: str) -> None:
        self._subscriber = subscriber
        self._topic = topic
        self._partition_of = DefaultPartitioner()

    def includes(self, key: bytes) -> bool:
        """Whether records with this key come to the subscriber."""
        consumer = self._subscriber.consumer
        partitions = consumer and consumer.partitions_for_topic(self._topic)
        if consumer is None or not partitions:
            return False
        number = self._partition_of(key, sorted(partitions), [])
        return TopicPartition(self._topic, number) in consumer.assignment()


def subscribe(
    router: KafkaRouter,
    topic: str,
    handle: BatchHandler,
    *,
    membership: Membership,
    max_records: int,
) -> "Assignment":
    """Call `handle` with every batch of `topic`, at least once, in order per partition.

    The offsets of a batch are committed after `handle` returns. While it raises, it is called with
    the same batch again, with backoff, and nothing is committed. Returns the partitions that the
    subscriber reads.
    """

    async def on_batch(consumer: AIOKafkaConsumer, records: Sequence[RawRecord]) -> None:
        await retry_until_success(f"batch of {topic}", lambda: handle(records), on=lambda _: True)
        try:
            await consumer.commit()
        except KafkaError as error:
            # The partitions moved to another member or the broker is down: the records come again.
            logger.warning(
                "offsets of %s were not committed, so its last batch repeats: %s",
                topic,
                describe_outage(error),
            )

    return subscribe_raw(router, topic, on_batch, membership=membership, max_records=max_records)


def subscribe_raw(
    router: KafkaRouter,
    topic: str,
    handle: RawHandler,
    *,
    membership: Membership,
    max_records: int,
    listener: ConsumerRebalanceListener | None = None,
    committed: bool = False,
) -> "Assignment":
    """Call `handle` with the consumer and every batch of `topic`; `handle` commits the offsets.

    With `committed`, records of aborted transactions are left out. The next batch is read after
    `handle` returns. It must not raise, because FastStream would skip the batch.
    """

    async def on_batch(message: KafkaMessage) -> None:
        log_working(_FETCHING, operation=topic)
        await handle(message.consumer, message.raw_message)

    fetching.mend()
    subscriber = router.subscriber(
        topic,
        batch=True,
        group_id=membership.group_id,
        session_timeout_ms=int(membership.session_seconds * 1000),
        heartbeat_interval_ms=int(1000 * membership.heartbeat_seconds),
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        max_records=max_records,
        isolation_level="read_committed" if committed else "read_uncommitted",
        batch_timeout_ms=100,
        parser=_parse,
        decoder=_decode,
        listener=listener,
        no_reply=True,
    )
    subscriber(on_batch)
    subscriber.get_msg = partial(_next_batch, subscriber)  # type: ignore[method-assign]
    return Assignment(subscriber, topic)


async def _next_batch(
    subscriber: BatchSubscriber, consumer: AIOKafkaConsumer
) -> tuple[RawRecord, ...]:
    """Return the next records; none if there were none for `batch_timeout_ms`.

    Partitions take turns, so that the first record of each is among the first of the batch.
    FastStream's own method then pauses for as long again, and a record that arrives meanwhile waits
    for the end of the pause.
    """
    found = await consumer.getmany(
        timeout_ms=subscriber.batch_timeout_ms, max_records=subscriber.max_records
    )
    turns = zip_longest(*found.values())
    return tuple(record for turn in turns for record in turn if record is not None)


async def _parse(
    records: tuple[RawRecord, ...],
    original: Callable[[tuple[RawRecord, ...]], Awaitable[PlainKafkaMessage]],
) -> PlainKafkaMessage:
    """Give FastStream one record without its headers, and the handler all records.

    FastStream would look at every record of the batch, and nothing uses the result.
    """
    message = await original((dataclasses.replace(records[0], headers=()),))
    message.raw_message = records
    return message


async def _decode(message: PlainKafkaMessage) -> object:
    return message.raw_message
