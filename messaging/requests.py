"""Publishing requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.messages import SpeakerErasureRequested, SyncRequested, encode_request
from contracts.topics import ERASURE_REQUESTS, SYNC_REQUESTS
from messaging.access import explaining
from messaging.clocks import Clock, ClockCheck
from messaging.cloudevents import TRACEPARENT
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.topics import MAX_RECORD_BYTES

ORDERED_AT = "spreaview-ordered-at"
"""Header of a request that comes back from the dead letters: the time it was first received."""

_FLUSH_SECONDS = 10.0


@asynccontextmanager
async def producing(
    kafka: KafkaConnection, database_clock: Clock | None = None
) -> AsyncIterator[Producer]:
    """Open a producer that waits for all replicas; flush and close it at the end of the block.

    Closing gives up records that the broker does not confirm within `_FLUSH_SECONDS`.
    `database_clock` is read to explain why Kafka refuses the time stamp of a record.
    """
    producer = Producer(
        **kafka.arguments(),
        clock_check=ClockCheck(kafka, database_clock),
        acks="all",
        max_batch_size=512 * 1024,
        max_request_size=MAX_RECORD_BYTES,
        linger_ms=2,
    )
    try:
        async with explaining(kafka):
            await producer.start()
        yield producer
    finally:
        await producer.close(flush_seconds=_FLUSH_SECONDS)


async def publish_request(
    producer: Producer, request: SyncRequested, *, traceparent: str | None = None
) -> None:
    """Publish one request, and return when the broker has confirmed it.

    With a `traceparent`, the sync continues that trace.
    """
    key = str(request.spreaview_event_id).encode()
    headers = [] if traceparent is None else [(TRACEPARENT, traceparent.encode())]
    await producer.send_and_wait(SYNC_REQUESTS, encode_request(request), key=key, headers=headers)


async def publish_erasure(producer: Producer, request: SpeakerErasureRequested) -> None:
    """Publish one erasure request, and return when the broker has confirmed it."""
    key = str(request.organization_id).encode()
    await producer.send_and_wait(ERASURE_REQUESTS, encode_request(request), key=key)
