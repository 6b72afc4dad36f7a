"""The outlet: records leave for Kafka in batches, each confirmed as a whole, with a mark.

On Apache Kafka a batch and the mark of how far it goes are one transaction, under a transactional
id that shuts out whoever had it before: for readers of committed data a batch is there once and
whole, or not at all, and the mark tells which. A broker without transactions keeps no mark: there
a batch that was not confirmed may be there in part, and the end of the topic has to be read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import stamina
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from messaging.access import explaining
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.topic_tail import positions_beyond
from messaging.topics import MAX_RECORD_BYTES

_BATCH_BYTES = 512 * 1024
_BATCH_SECONDS = 30.0
"""For one batch, confirmed; and how long Kafka keeps a transaction whose producer is gone."""
_STALLED_SECONDS = 4.0
"""A broker that confirms nothing for so long counts as away."""
_ELECTION_SECONDS = 20.0
"""For a group to get a coordinator."""
_TAIL_SECONDS = 20.0
_CLOSE_SECONDS = 2.0


class CommittedPosition(NamedTuple):
    """How far the records go, in words of the one who sends them."""

    position: int
    note: str


class TransactionalPublisher(NamedTuple):
    """Where records leave, and how.

    Args:
        kafka: the brokers.
        topic: of the records.
        group_id: names the sender; its offset in partition 0 of the topic is the mark.
        transactions: whether the broker has transactions; Apache Kafka does.
    """

    kafka: KafkaConnection
    topic: str
    group_id: str
    transactions: bool

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenPublisher"]:
        """Ready to send, while the block runs; an older sender cannot send any more.

        An error of `send` makes it useless: leave the block, open it again, look at the mark.

        Raises:
            aiokafka.errors.KafkaError, TimeoutError: the broker is not there.
        """
        producer = Producer(
            **self.kafka.arguments(),
            transactional_id=self.group_id if self.transactions else None,
            transaction_timeout_ms=int(_BATCH_SECONDS * 1000),
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            linger_ms=2,
        )
        try:
            async with asyncio.timeout(_STALLED_SECONDS):
                async with explaining(self.kafka):
                    await producer.start()
                committed = await self.committed() if self.transactions else None
            yield OpenPublisher(self, producer, committed)
        finally:
            await producer.close()

    async def published_beyond(self, source: str, position: int) -> frozenset[int]:
        """The positions after `position` that the topic holds already, see `topic_tail`."""
        async with asyncio.timeout(_TAIL_SECONDS):
            return await positions_beyond(self.kafka, self.topic, source, position)

    async def committed(self) -> CommittedPosition | None:
        """The mark that the broker keeps, if any."""
        admin = AIOKafkaAdminClient(**self.kafka.arguments())
        try:
            async with explaining(self.kafka):
                await admin.start()
            async for attempt in stamina.retry_context(
                on=_is_electing,
                attempts=None,
                timeout=_ELECTION_SECONDS,
                wait_initial=0.05,
                wait_max=1,
            ):
                with attempt:
                    offsets = await admin.list_consumer_group_offsets(self.group_id)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await admin.close()
        found = offsets.get(TopicPartition(self.topic, 0))
        return None if found is None else CommittedPosition(found.offset, found.metadata)


class OpenPublisher:
    """An outlet that sends. Made by `TransactionalPublisher.opened`."""

    def __init__(
        self,
        publisher: TransactionalPublisher,
        producer: Producer,
        committed: CommittedPosition | None,
    ) -> None:
        self._publisher = publisher
        self._producer = producer
        self.committed = committed
        """The one found when it was opened: nothing beyond it was sent."""

    @property
    def is_spent(self) -> bool:
        """Whether to leave the block and open it again before the next batch.

        True once a request was not answered at the first try: its late copy could commit a part of
        the next transaction, or move the mark back.
        """
        return self._publisher.transactions and self._producer.has_unanswered

    async def send(self, records: Sequence[Record], committed: CommittedPosition) -> None:
        """Return when the broker has confirmed every record; and the mark, if it keeps one.

        Raises:
            aiokafka.errors.MessageSizeTooLargeError, RecordListTooLargeError: one of the records is
                too large for the topic, or for a segment of it.
            aiokafka.errors.KafkaError, TimeoutError: not confirmed: it may be there or not. It was
                given up because nothing was confirmed for `_STALLED_SECONDS`, or not everything
                in `_BATCH_SECONDS`.
        """
        async with _while_it_progresses() as progress:
            if not self._publisher.transactions:
                await self._send(records, progress)
                return
            await self._producer.begin_transaction()
            await self._send(records, progress)
            progress()
            await self._producer.send_offsets_to_transaction(
                {TopicPartition(self._publisher.topic, 0): OffsetAndMetadata(*committed)},
                self._publisher.group_id,
            )
            progress()
            await self._producer.commit_transaction()

    async def _send(self, records: Sequence[Record], progress: Callable[[], None]) -> None:
        def confirmed(confirmation: asyncio.Future[object]) -> None:
            if not confirmation.cancelled() and confirmation.exception() is None:
                progress()

        confirmations = []
        for record in records:
            confirmation = await self._producer.send(
                self._publisher.topic, record.value, key=record.key, headers=list(record.headers)
            )
            confirmation.add_done_callback(confirmed)
            confirmations.append(confirmation)
        # Every one is looked at, also those behind the first that fails.
        for answer in await asyncio.gather(*confirmations, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer


@asynccontextmanager
async def _while_it_progresses() -> AsyncIterator[Callable[[], None]]:
    """Time-limit the block: each call of the yielded function allows it some more seconds.

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
    """Whether the group has no coordinator yet, as in a cluster that has just begun."""
    return isinstance(error, KafkaError) and bool(error.retriable)
