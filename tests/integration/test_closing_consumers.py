"""Every consumer closes in time while its broker is away, and leaves no task behind."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from cli.connections import Addresses
from cli.services import CLOSING_SECONDS, Role, running
from cli.settings import Settings
from messaging.closing import close_consumer
from messaging.connection import KafkaConnection
from messaging.lag import watching_lag
from messaging.requests import producing, publish_request
from messaging.topic_reader import open_topic_reader, partitions_of
from tests.support.apache_kafka import own_broker_behind
from tests.support.brokers import KnownBroker
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.documents import WINDOW
from tests.support.line import PATIENCE, a_request
from tests.support.ports import free_port
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending
from tests.support.sessionize.double import sessionize_double

pytestmark = pytest.mark.asyncio

AWAY_SECONDS = 120.0
IN_TIME_SECONDS = 8.0
NO_ANSWER = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))

Outage = Callable[[Proxy], Awaitable[None]]
OUTAGES = pytest.mark.parametrize(
    "outage",
    [partial(Proxy.refuse, seconds=AWAY_SECONDS), partial(Proxy.swallow, seconds=AWAY_SECONDS)],
    ids=["refused", "stalled"],
)


class Behind(NamedTuple):
    """A broker behind a proxy."""

    broker: KnownBroker
    proxy: Proxy

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(self.proxy.address)

    @asynccontextmanager
    async def away(self, outage: Outage) -> AsyncIterator[None]:
        """The broker is away from the beginning of the block."""
        task = asyncio.ensure_future(outage(self.proxy))
        await asyncio.sleep(0.5)  # requests are under way
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.proxy.reopen()


@pytest_asyncio.fixture(scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    async with (
        proxy(free_port()) as made,
        own_broker_behind(tmp_path_factory.mktemp("kafka"), made.port) as broker,
    ):
        made.target = broker.behind_proxy
        yield Behind(KnownBroker("apache", broker.address), made)


async def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages of asyncio about tasks and exceptions that were left behind."""
    gc.collect()
    await asyncio.sleep(0)
    return [record.message for record in caplog.records if record.name == "asyncio"]


@OUTAGES
async def test_a_member_of_a_group(
    behind: Behind, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await behind.broker.a_topic()
    consumer = AIOKafkaConsumer(topic, **behind.connection.arguments(), group_id=f"group-{uuid4()}")
    await consumer.start()
    await consumer.getmany(timeout_ms=100)
    async with behind.away(outage), asyncio.timeout(IN_TIME_SECONDS):
        await close_consumer(consumer)
    del consumer
    assert await complaints(caplog) == []


@OUTAGES
async def test_the_readers_of_lag_and_topics(
    behind: Behind, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await behind.broker.a_topic()
    async with asyncio.timeout(2 * IN_TIME_SECONDS):
        async with (
            watching_lag(behind.connection, "some-group") as lag,
            open_topic_reader(behind.connection) as reader,
        ):
            partitions = await partitions_of(reader, topic)
            await lag.look(partitions)
            reader.consumer.assign(partitions)
            await reader.consumer.getmany(timeout_ms=100)
            away = behind.away(outage)
            await away.__aenter__()
    await away.__aexit__(None, None, None)
    assert await complaints(caplog) == []


@OUTAGES
async def test_worker_and_projector_stop_in_time(
    behind: Behind, outage: Outage, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Within the time for their work, which is one for all of it, and the time for closing.

    A request is in flight and does not end.
    """
    graceful = 2 * CLOSING_SECONDS
    settings = Settings(graceful_timeout=graceful, database_pool=4, relay_poll_seconds=0.2)
    async with sessionize_double(Documents()) as double:
        double.documents.put("hanging01", NO_ANSWER)
        addresses = Addresses(database_url, behind.connection, double.base_url)
        away = behind.away(outage)
        async with running(Role.WORKER | Role.PROJECTOR, settings, addresses):
            async with producing(behind.connection) as producer, asyncio.timeout(PATIENCE):
                await publish_request(producer, a_request("hanging01", WINDOW))
                while not double.requests:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await away.__aenter__()
            began = time.monotonic()
        seconds = time.monotonic() - began
        await away.__aexit__(None, None, None)
    assert seconds < graceful + CLOSING_SECONDS
    assert await complaints(caplog) == []
