"""A leader that cannot reach Kafka gives way to a standby that can, and leaves no task behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka.errors import KafkaConnectionError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.publisher import OpenPublisher, TransactionalPublisher
from messaging.requests import producing
from tests.support.apache_kafka import own_broker_behind
from tests.support.brokers import KnownBroker
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.ports import free_port
from tests.support.relaying import Subject, versions

pytestmark = pytest.mark.asyncio

TAKEOVER_SECONDS = 10.0
AWAY_SECONDS = 60.0

Outage = Callable[[Proxy], Awaitable[None]]
refused: Outage = partial(Proxy.refuse, seconds=AWAY_SECONDS)
stalled: Outage = partial(Proxy.swallow, seconds=AWAY_SECONDS)


class Behind(NamedTuple):
    """A broker behind a proxy."""

    broker: KnownBroker
    proxy: Proxy


@pytest_asyncio.fixture(scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    async with (
        proxy(free_port()) as made,
        own_broker_behind(tmp_path_factory.mktemp("kafka"), made.port) as broker,
    ):
        made.target = broker.behind_proxy
        yield Behind(KnownBroker("apache", broker.address), made)


@pytest.mark.parametrize("transactions", [True, False], ids=["transactions", "no transactions"])
@pytest.mark.parametrize("outage", [refused, stalled], ids=["refused", "stalled"])
async def test_a_standby_takes_over_from_a_leader_that_cannot_reach_kafka(
    log: EventLog,
    engine: AsyncEngine,
    database_url: str,
    behind: Behind,
    outage: Outage,
    transactions: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic, group = await behind.broker.a_topic(), f"relay-{uuid4()}"
    healthy = Subject(
        log,
        engine,
        database_url,
        TransactionalPublisher(behind.broker.connection, topic, group, transactions),
    )
    cut_off = replace(
        healthy, publisher=healthy.publisher._replace(kafka=KafkaConnection(behind.proxy.address))
    )
    stream = uuid4()
    await healthy.append(stream, 0, 3)
    async with cut_off.relaying():
        await cut_off.caught_up()
        async with healthy.relaying():
            away = asyncio.ensure_future(outage(behind.proxy))
            await asyncio.sleep(0)
            await healthy.append(stream, 3, 3)
            try:
                async with asyncio.timeout(TAKEOVER_SECONDS):
                    await healthy.caught_up()
            finally:
                away.cancel()
                await asyncio.gather(away, return_exceptions=True)
                await behind.proxy.reopen()
            published = versions(await healthy.all_published())
            if not transactions:  # the stalled records arrived, too
                published = list(dict.fromkeys(published))
            assert published == [1, 2, 3, 4, 5, 6]
    gc.collect()
    await asyncio.sleep(0)
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_leader_that_gives_up_lets_a_standby_lead_next(
    log: EventLog, engine: AsyncEngine, database_url: str
) -> None:
    tries, may_fail, other_leads = 0, asyncio.Event(), asyncio.Event()

    class Unreachable(TransactionalPublisher):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator[OpenPublisher]:
            nonlocal tries
            tries += 1
            await may_fail.wait()
            if may_fail.is_set():
                raise KafkaConnectionError
            yield OpenPublisher(self, Producer(), None)

    class Reachable(TransactionalPublisher):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator[OpenPublisher]:
            other_leads.set()
            await asyncio.Event().wait()
            yield OpenPublisher(self, Producer(), None)

    first = Subject(
        log, engine, database_url, Unreachable(KafkaConnection(""), "", "", transactions=True)
    )
    second = replace(first, publisher=Reachable(KafkaConnection(""), "", "", transactions=True))
    async with first.relaying():
        await relays_are_connected(engine, 1)
        async with second.relaying(), asyncio.timeout(TAKEOVER_SECONDS):
            await relays_are_connected(engine, 2)
            may_fail.set()
            await other_leads.wait()
            assert tries == 1


async def relays_are_connected(engine: AsyncEngine, number: int) -> None:
    count = text("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'spreaview-sync relay%'
    """)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while (await connection.execute(count)).scalar_one() != number:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("outage", [refused, stalled], ids=["refused", "stalled"])
async def test_a_producer_closes_in_time_while_its_broker_is_down(
    behind: Behind, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await behind.broker.a_topic()
    producer = Producer(bootstrap_servers=behind.proxy.address)
    await producer.start()
    await producer.send_and_wait(topic, b"confirmed")
    away = asyncio.ensure_future(outage(behind.proxy))
    await asyncio.sleep(0)
    confirmations = [await producer.send(topic, b"x" * 10_000, partition=n) for n in range(12)]
    await asyncio.sleep(0.5)  # its requests are under way
    async with asyncio.timeout(5):
        await producer.close(flush_seconds=0.5)
    away.cancel()
    await asyncio.gather(away, return_exceptions=True)
    await behind.proxy.reopen()
    errors = await asyncio.gather(*confirmations, return_exceptions=True)
    assert all(isinstance(error, Exception) for error in errors)
    del producer, confirmations
    gc.collect()
    await asyncio.sleep(0)
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_closed_producer_has_sent_everything(behind: Behind) -> None:
    topic = await behind.broker.a_topic()
    async with producing(behind.broker.connection) as producer:
        confirmations = [await producer.send(topic, b"%d" % n) for n in range(100)]
    assert len({(await one).offset for one in confirmations}) > 1
