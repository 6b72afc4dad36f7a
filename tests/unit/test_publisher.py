"""Opening the publisher: each limit of time covers one step; these tests need no broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata

from messaging import access, publisher
from messaging.connection import KafkaAccessError, KafkaConnection
from messaging.publisher import CommittedPosition, TransactionalPublisher

pytestmark = pytest.mark.asyncio

STALLED_SECONDS = 0.3


class Started:
    """A producer that starts immediately."""

    def __init__(self, **_: Any) -> None:
        pass

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Refused(Started):
    """A producer whose start fails shortly before the limit."""

    async def start(self) -> None:
        await asyncio.sleep(STALLED_SECONDS * 0.8)
        raise KafkaConnectionError("no broker")


class Electing:
    """An admin client of a group that has no coordinator at first."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._elected = self._loop.time() + seconds

    async def list_consumer_group_offsets(
        self, _: str
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        if self._loop.time() < self._elected:
            raise GroupCoordinatorNotAvailableError
        return {TopicPartition("topic", 0): OffsetAndMetadata(7, "note")}


def publisher_of(producer: Any) -> TransactionalPublisher:
    kafka = KafkaConnection("127.0.0.1:9")
    return TransactionalPublisher(kafka, "topic", "group", True, new_producer=producer)


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_STALLED_SECONDS", STALLED_SECONDS)


async def test_an_election_may_take_longer_than_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Electing(3 * STALLED_SECONDS)

    @asynccontextmanager
    async def opened(_: KafkaConnection) -> AsyncIterator[Electing]:
        yield admin

    monkeypatch.setattr(publisher, "open_admin", opened)
    async with publisher_of(Started).opened() as found:
        assert found.committed == CommittedPosition(7, "note")


async def test_the_search_for_the_cause_of_a_failed_start_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refused(_: KafkaConnection) -> None:
        await asyncio.sleep(STALLED_SECONDS)
        raise KafkaAccessError("Kafka refuses us", "VARIABLE")

    monkeypatch.setattr(access, "check", refused)
    with pytest.raises(KafkaAccessError, match="Kafka refuses us"):
        async with publisher_of(Refused).opened():
            pass
