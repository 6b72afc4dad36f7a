"""Publishes requests with another client than ours, and records them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from confluent_kafka import KafkaError, Message, Producer

from tests.support.chaos.oracle.names import SYNC_REQUESTS
from tests.support.chaos.stack import Stack
from tests.support.chaos.world import Form, Record, World

_LOOK_SECONDS = 0.05
_LONGEST_BURST = 8
_CONFIRMED_SECONDS = 600.0
"""Longer than any outage: only requests that reached the broker count."""


@dataclass
class Published:
    """A published record."""

    record: Record
    at: float
    """Monotonic time before it was first sent."""
    places: list[tuple[int, int]] = field(default_factory=list)
    """Partition and offset of each confirmed publication."""


class Load:
    """Publishes records. Create it with `load`."""

    def __init__(self, world: World, stack: Stack, producer: Producer, seed: int) -> None:
        self.published: list[Published] = []
        self._world = world
        self._stack = stack
        self._producer = producer
        self._records = world.records()
        self._dice = random.Random(f"load {seed}")
        for api_id in world.api_ids:
            self._serve(api_id)

    async def spread(self, number: int, seconds: float) -> None:
        """Publish some records over about some seconds, partly in bursts."""
        gap = seconds / max(1, number)
        while number > 0:
            burst = self._dice.randint(2, _LONGEST_BURST) if self._dice.random() < 0.15 else 1
            self.publish(min(burst, number))
            number -= burst
            await asyncio.sleep(self._dice.uniform(0, 2 * gap) * burst)

    def publish(self, number: int) -> None:
        """Publish the next records now."""
        for record in islice(self._records, number):
            if record.moves_on:
                self._world.move_on(record.event.api_id)
                self._serve(record.event.api_id)
            published = Published(record, time.monotonic())
            self.published.append(published)
            for _ in range(2 if record.form is Form.TWICE else 1):
                self._send(published)

    async def confirmed(self) -> None:
        """Return when the broker has confirmed every record."""
        async with asyncio.timeout(_CONFIRMED_SECONDS):
            while len(self._producer):  # noqa: ASYNC110 (the client has no event)
                await asyncio.sleep(_LOOK_SECONDS)

    def _serve(self, api_id: str) -> None:
        self._stack.double.serve(api_id, self._world.body(api_id))

    def _send(self, published: Published) -> None:
        def told(error: KafkaError | None, message: Message) -> None:
            assert error is None, f"a request was not published: {error}"
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            published.places.append((partition, offset))

        record = published.record
        self._producer.produce(
            SYNC_REQUESTS, key=str(record.event.event_id), value=record.value, on_delivery=told
        )


@asynccontextmanager
async def load(world: World, stack: Stack, seed: int) -> AsyncIterator[Load]:
    """Open a publisher of requests while the block runs."""
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka.address,
            "enable.idempotence": True,
            "message.timeout.ms": int(_CONFIRMED_SECONDS * 1000),
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )

    async def serve_callbacks() -> None:
        while True:
            producer.poll(0)
            await asyncio.sleep(_LOOK_SECONDS)

    callbacks = asyncio.create_task(serve_callbacks())
    try:
        yield Load(world, stack, producer, seed)
    finally:
        callbacks.cancel()
        await asyncio.gather(callbacks, return_exceptions=True)
        producer.purge()
