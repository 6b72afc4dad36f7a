"""A producer that closes within a bounded time, and notes unanswered requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError, ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from messaging.clocks import ClockCheck
from messaging.cloudevents import Record

T = TypeVar("T")

_CLOSE_SECONDS = 1.0
"""Time limit for aborted connections and cancelled tasks to end."""
_REQUESTS = (
    "_send_produce_req",
    "_do_add_partitions_to_txn",
    "_do_add_offsets_to_txn",
    "_do_txn_offset_commit",
    "_do_txn_commit",
)
"""Methods that aiokafka's sender runs as separate tasks, to which it gives no access."""


class Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is untyped
    """An aiokafka producer that notes whether the broker left one of its requests unanswered.

    The client repeats such a request, and the first copy may still arrive. A broker cannot
    distinguish a late `EndTxn` from one for the transaction that is open by then, and commits this
    transaction early (KAFKA-17754). Only a new producer with the same transactional id fences the
    late copy.
    """

    _closed: bool

    def __init__(self, *, clock_check: ClockCheck | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._clock_check = clock_check
        self.has_unanswered = False
        self._requests: set[asyncio.Task[Any]] = set()
        for name in _REQUESTS:
            setattr(self._sender, name, self._tracked(getattr(self._sender, name)))
        self.client.send = self._noted(self.client.send)

    async def send_and_wait(self, topic: str, *arguments: Any, **given: Any) -> RecordMetadata:
        """As aiokafka's; with a clock check, raises `WrongClockError` for a refused time stamp."""
        async with self.explaining_clocks(topic):
            published: RecordMetadata = await super().send_and_wait(topic, *arguments, **given)
        return published

    async def send_all(
        self, topic: str, records: Sequence[Record], progress: Callable[[], None]
    ) -> None:
        """Send records in order per partition; return when all are confirmed.

        Calls `progress` after each confirmed batch. An error ends the sending to its partition, and
        the first one is raised when all partitions have ended. aiokafka's `send` would cost a
        future and a hash of the key per record (ADR 0028).
        """
        await self.partitions_for(topic)
        numbers: dict[bytes, int] = {}
        parts: dict[int, list[Record]] = {}
        for record in records:
            number = numbers.get(key := record.key)
            if number is None:
                number = numbers[key] = self._partition(topic, None, key, None, key, None)
            parts.setdefault(number, []).append(record)
        sending = [self._send_part(topic, number, part, progress) for number, part in parts.items()]
        for answer in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _send_part(
        self,
        topic: str,
        partition: int,
        records: Sequence[Record],
        progress: Callable[[], None],
    ) -> None:
        for batch in self._batches(records):
            await (await self.send_batch(batch, topic, partition=partition))
            progress()

    def _batches(self, records: Sequence[Record]) -> Iterator[BatchBuilder]:
        """Yield full batches of the records. Raises `MessageSizeTooLargeError`."""
        batch = self.create_batch()
        for key, value, headers in records:
            self._serialize(key, value, headers)  # checks the size
            while batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch
                batch = self.create_batch()
        batch.close()
        yield batch

    def explaining_clocks(self, topic: str) -> AbstractAsyncContextManager[None]:
        """Raise `WrongClockError` where the block waits for records whose time stamp is refused."""
        return nullcontext() if self._clock_check is None else self._clock_check.explaining(topic)

    async def close(self, *, flush_seconds: float = 0) -> None:
        """Close within a few seconds, even without a broker; never raises.

        aiokafka's own `stop` waits without a limit while the broker is down. Records that are not
        confirmed within `flush_seconds` are given up: they may be on the topic or not.
        """
        if self._closed:
            return
        self._closed = True
        accumulator = self._message_accumulator
        if flush_seconds and self._sender.sender_task is not None:
            await asyncio.wait(
                {asyncio.create_task(accumulator.flush()), self._sender.sender_task},
                timeout=flush_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        # A batch that waits for its second attempt is not pending, and its callback requires that.
        for batches in accumulator._batches.values():  # noqa: SLF001
            accumulator._pending_batches.update(batches)  # noqa: SLF001
        given_up = set(self._failures())
        accumulator.fail_all(ProducerClosed())
        await _end({*self._requests, self._sender.sender_task} - {None})
        await close_client(self.client)
        for future in given_up.union(self._failures()):
            if future is not None and future.done() and not future.cancelled():
                future.exception()  # else asyncio logs that it was never retrieved

    def _failures(self) -> Iterable["asyncio.Future[Any] | None"]:
        accumulator = self._message_accumulator
        for batches in (accumulator._pending_batches, *accumulator._batches.values()):  # noqa: SLF001
            for batch in batches:
                yield batch._drain_waiter  # noqa: SLF001
                yield batch.future
        if self._txn_manager is not None:
            yield self._txn_manager._transaction_waiter  # noqa: SLF001

    def _tracked(self, work: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def tracked(*arguments: Any) -> T:
            if (task := asyncio.current_task()) is not None:
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)
            return await work(*arguments)

        return tracked

    def _noted(self, send: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def noted(*arguments: Any, **options: Any) -> T:
            try:
                return await send(*arguments, **options)
            except NodeNotReadyError:
                raise  # it was not sent
            except KafkaError:
                self.has_unanswered = True
                raise

        return noted


async def close_client(client: AIOKafkaClient) -> None:
    """Abort the connections of an aiokafka client, so that unsent bytes do not delay its end."""
    for connection in client._conns.values():  # noqa: SLF001
        if connection._writer is not None:  # noqa: SLF001
            connection._writer.transport.abort()  # noqa: SLF001
    await _end({asyncio.create_task(client.close())}, after=_CLOSE_SECONDS)


async def _end(tasks: set[asyncio.Task[Any]], *, after: float = 0) -> None:
    """Cancel tasks that are still running after some seconds; wait briefly for their end."""
    pending = {task for task in tasks if not task.done()}
    if pending and after:
        _, pending = await asyncio.wait(pending, timeout=after)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=_CLOSE_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
