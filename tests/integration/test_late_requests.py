"""A request reaches Kafka after its client has given it up and repeated it (KAFKA-17754).

The client cannot recall it, and the broker cannot tell it from a request of the transaction that is
open when it arrives. A proxy on the way to a real Apache Kafka holds one back, and delivers it at
the worst moments of the transaction that follows.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.transfer.replay import ReplayIdentity, ReplaySelection, replay, to_topic
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.publisher import TransactionalPublisher
from tests.support.apache_kafka import own_broker_behind
from tests.support.brokers import KnownBroker
from tests.support.chaos.kafka_proxy import ApiKey, KafkaProxy, kafka_proxy
from tests.support.ports import free_port
from tests.support.relaying import PATIENCE, Subject, versions

pytestmark = pytest.mark.asyncio

BEFORE, AFTER = 20, 600
"""Number of events in the transaction with the late commit, and in the next one."""
TEXT = "x" * 2000
"""Makes the second transaction larger than one produce request."""


class Behind(NamedTuple):
    """A broker and the proxy between it and the relay."""

    broker: KnownBroker
    proxy: KafkaProxy


@pytest_asyncio.fixture(scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    async with (
        kafka_proxy(free_port()) as proxy,
        own_broker_behind(tmp_path_factory.mktemp("kafka"), proxy.port) as broker,
    ):
        proxy.target = broker.behind_proxy
        yield Behind(KnownBroker("apache", broker.address), proxy)


@pytest_asyncio.fixture
async def subject(log: EventLog, engine: AsyncEngine, database_url: str, behind: Behind) -> Subject:
    topic = await behind.broker.a_topic()
    publisher = TransactionalPublisher(
        KafkaConnection(behind.proxy.address), topic, f"relay-{uuid4()}", transactions=True
    )
    return Subject(log, engine, database_url, publisher)


@pytest.mark.parametrize(
    ("held", "before", "nth"),
    [
        pytest.param(ApiKey.END_TXN, ApiKey.PRODUCE, 2, id="commit-between-two-produce-requests"),
        pytest.param(ApiKey.END_TXN, ApiKey.ADD_OFFSETS_TO_TXN, 1, id="commit-after-the-records"),
        pytest.param(ApiKey.END_TXN, ApiKey.TXN_OFFSET_COMMIT, 1, id="commit-before-the-position"),
        pytest.param(ApiKey.END_TXN, ApiKey.END_TXN, 1, id="commit-before-the-commit"),
        pytest.param(ApiKey.TXN_OFFSET_COMMIT, ApiKey.END_TXN, 1, id="position-before-the-commit"),
        pytest.param(ApiKey.ADD_OFFSETS_TO_TXN, ApiKey.PRODUCE, 1, id="group-before-the-records"),
        pytest.param(ApiKey.PRODUCE, ApiKey.PRODUCE, 2, id="records-between-two-produce-requests"),
    ],
)
async def test_a_late_request_repeats_nothing(
    subject: Subject, behind: Behind, held: ApiKey, before: ApiKey, nth: int
) -> None:
    late = behind.proxy.hold(held)
    stream = uuid4()
    await subject.append(stream, 0, BEFORE)
    async with subject.relaying(batch=1000):
        await asyncio.wait_for(late.is_held.wait(), PATIENCE)
        await subject.caught_up()
        late.deliver_before(before, nth)
        await subject.append(stream, BEFORE, AFTER, name=TEXT)
        await subject.caught_up()
        assert late.is_delivered
    assert versions(await subject.all_published()) == list(range(1, BEFORE + AFTER + 1))
    committed = await subject.publisher.committed()
    assert committed is not None
    assert committed.position == await subject.log.head()


async def test_a_late_commit_repeats_nothing_of_a_replay(subject: Subject, behind: Behind) -> None:
    """The events fill two transactions: the late commit belongs to the first one."""
    await subject.append(uuid4(), 0, AFTER)
    identity = ReplayIdentity((await subject.log.identity()).log_id, "again")
    late = behind.proxy.hold(ApiKey.END_TXN)
    late.deliver_before(ApiKey.TXN_OFFSET_COMMIT)
    async with to_topic(subject.publisher, identity) as (sender, reached):
        await replay(subject.log, ReplaySelection(after=reached), sender)
    assert late.is_delivered
    assert versions(await subject.all_published()) == list(range(1, AFTER + 1))
    committed = await subject.publisher.committed()
    assert committed is not None
    assert committed.position == await subject.log.head()
