"""The loop that reads batches from Kafka, on a consumer double without a broker."""

import asyncio

import pytest
from faststream.kafka import KafkaRouter

from messaging.batch_consumer import Membership, subscribe_raw


class IdleConsumer:
    """Finds nothing in its first reads, and then a record."""

    def __init__(self, idle_reads: int) -> None:
        self._idle_reads = idle_reads

    async def getmany(self, **_: object) -> dict[str, list[str]]:
        self._idle_reads -= 1
        return {} if self._idle_reads >= 0 else {"topic/0": ["record"]}


async def take(consumer: object, records: object) -> None: ...


@pytest.mark.asyncio
async def test_an_empty_read_is_followed_by_the_next_one_without_a_pause() -> None:
    router = KafkaRouter()
    subscribe_raw(router, "topic", take, membership=Membership("group"), max_records=10)
    (subscriber,) = router.subscribers
    consumer = IdleConsumer(idle_reads=1000)  # with FastStream's pauses: 100 seconds
    found: object = ()
    async with asyncio.timeout(30):
        while not found:
            found = await subscriber.get_msg(consumer)  # type: ignore[attr-defined]
    assert found == ("record",)


class BusyConsumer:
    """Finds records of three partitions."""

    async def getmany(self, **_: object) -> dict[str, list[str]]:
        return {"topic/0": ["a", "b", "c"], "topic/1": ["d"], "topic/2": ["e", "f"]}


@pytest.mark.asyncio
async def test_the_partitions_of_a_batch_take_turns() -> None:
    router = KafkaRouter()
    subscribe_raw(router, "topic", take, membership=Membership("group"), max_records=10)
    (subscriber,) = router.subscribers
    found = await subscriber.get_msg(BusyConsumer())  # type: ignore[attr-defined]
    assert found == ("a", "d", "e", "b", "f", "c")
