"""A publisher that sends records in batches, each with the position that it commits.

On Apache Kafka a batch and its committed position are one transaction. Readers of committed data
see the whole batch exactly once, or nothing of it, and the committed position shows which. Opening
a publisher fences every older producer with the same transactional id. A broker without
transactions keeps no position: part of an unconfirmed batch may be on the topic, and only reading
the end of the topic shows which part.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import stamina
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from messaging.access import explaining
from messaging.admin import naming_group, open_admin
from messaging.clocks import Clock, ClockCheck
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.topic_tail import events_beyond
from messaging.topics import MAX_RECORD_BYTES

_BATCH_BYTES = 512 * 1024
_BATCH_SECONDS = 30.0
"""Time limit to confirm a batch, and for Kafka to keep a transaction whose producer is gone."""
_STALLED_SECONDS = 4.0
"""A broker that confirms or answers nothing for this long counts as down."""
_ELECTION_SECONDS = 20.0
"""Time limit for a consumer group to get a coordinator, while the broker answers."""
_TAIL_SECONDS = 20.0


class CommittedPosition(NamedTuple):
    """The position that the sender has reached, and a note of its own."""

    position: int
    note: str


class TransactionalPublisher(NamedTuple):
    """Publishes the batches of one sender to a topic.

    async with publisher.opened() as opened: await opened.send(records, CommittedPosition(7, "id"))

    Args:
        kafka: the brokers.
        topic: the topic of the records.
        group_id: names the sender. Its offset in partition 0 is the committed position.
        transactions: whether the broker supports transactions, as Apache Kafka does.
        database_clock: is read to explain why Kafka refuses the time stamp of a record.
        new_producer: creates a producer from the settings of `Producer`.
    """

    kafka: KafkaConnection
    topic: str
    group_id: str
    transactions: bool
    database_clock: Clock | None = None
    new_producer: Callable[..., Producer] = Producer

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenPublisher"]:
        """Open the publisher while the block runs, and fence every older one of this sender.

        After an error of `send`, leave the block, open the publisher again, and read `committed`.

        Raises:
            aiokafka.errors.KafkaError, TimeoutError: the broker does not answer.
        """
        producer = self.new_producer(
            **self.kafka.arguments(),
            transactional_id=self.group_id if self.transactions else None,
            transaction_timeout_ms=int(_BATCH_SECONDS * 1000),
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            linger_ms=2,
        )
        try:
            # The search for a cause has a limit of its own.
            async with explaining(self.kafka), asyncio.timeout(_STALLED_SECONDS):
                await producer.start()
            yield OpenPublisher(self, producer, await self.committed())
        finally:
            await producer.close()

    async def published_beyond(self, source: str, position: int) -> Mapping[int, UUID]:
        """Return the events after `position` that are on the topic already, see `topic_tail`."""
        async with asyncio.timeout(_TAIL_SECONDS):
            return await events_beyond(self.kafka, self.topic, source, position)

    async def committed(self) -> CommittedPosition | None:
        """Return the committed position that the broker keeps; None without transactions.

        Raises:
            aiokafka.errors.KafkaError, TimeoutError: the broker does not answer.
        """
        if not self.transactions:
            return None
        async with (
            asyncio.timeout(2 * _STALLED_SECONDS) as limit,  # includes the search for a cause
            open_admin(self.kafka) as admin,
        ):
            limit.reschedule(None)  # from here on each request has one
            async for attempt in stamina.retry_context(
                on=_is_electing,
                attempts=None,
                timeout=_ELECTION_SECONDS,
                wait_initial=0.05,
                wait_max=1,
            ):
                with attempt, naming_group(self.group_id):
                    async with asyncio.timeout(_STALLED_SECONDS):
                        offsets = await admin.list_consumer_group_offsets(self.group_id)
        found = offsets.get(TopicPartition(self.topic, 0))
        return None if found is None else CommittedPosition(found.offset, found.metadata)


class OpenPublisher:
    """A publisher that is ready to send. Create it with `TransactionalPublisher.opened`."""

    def __init__(
        self,
        publisher: TransactionalPublisher,
        producer: Producer,
        committed: CommittedPosition | None,
    ) -> None:
        self._publisher = publisher
        self._producer = producer
        self.committed = committed
        """The position found when the publisher was opened: no later record was published."""

    @property
    def is_spent(self) -> bool:
        """Whether the publisher must be opened again before the next batch.

        True after a request stayed unanswered at its first try: the late copy could commit a part
        of the next transaction, or move the committed position back.
        """
        return self._publisher.transactions and self._producer.has_unanswered

    async def send(self, records: Sequence[Record], committed: CommittedPosition) -> None:
        """Publish a batch; return when the broker has confirmed all records and the position.

        Raises:
            aiokafka.errors.MessageSizeTooLargeError, RecordListTooLargeError: a record is too large
                for the topic, or for one of its segments.
            aiokafka.errors.KafkaError, TimeoutError: the batch is unconfirmed: it may be on the
                topic or not. A TimeoutError means that nothing was confirmed for
                `_STALLED_SECONDS`, or not everything within `_BATCH_SECONDS`.
        """
        publisher = self._publisher
        check = ClockCheck(publisher.kafka, publisher.database_clock)
        async with check.explaining(publisher.topic), _while_it_progresses() as progress:
            if not publisher.transactions:
                await self._producer.send_all(publisher.topic, records, progress)
                return
            await self._producer.begin_transaction()
            await self._producer.send_all(publisher.topic, records, progress)
            progress()
            await self._producer.send_offsets_to_transaction(
                {TopicPartition(publisher.topic, 0): OffsetAndMetadata(*committed)},
                publisher.group_id,
            )
            progress()
            await self._producer.commit_transaction()


@asynccontextmanager
async def _while_it_progresses() -> AsyncIterator[Callable[[], None]]:
    """Limit the time of the block; each call of the yielded function extends the limit.

    Raises:
        TimeoutError: nothing progressed for `_STALLED_SECONDS`, or `_BATCH_SECONDS` have passed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _BATCH_SECONDS
    is_running = True
    async with asyncio.timeout(_STALLED_SECONDS) as limit:

        def progress() -> None:
            if is_running and not limit.expired():
                limit.reschedule(min(loop.time() + _STALLED_SECONDS, end))

        try:
            yield progress
        finally:
            is_running = False


def _is_electing(error: Exception) -> bool:
    """Return whether the group has no coordinator yet, as in a cluster that has just started."""
    return isinstance(error, KafkaError) and bool(error.retriable)
