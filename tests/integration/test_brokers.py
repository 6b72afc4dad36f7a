"""Each broker has the features declared for it, and lacks all others."""

import asyncio
import time
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from messaging.publisher import CommittedPosition, TransactionalPublisher
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker

pytestmark = pytest.mark.asyncio


async def test_transactions(broker: KnownBroker) -> None:
    publisher = TransactionalPublisher(
        broker.connection, await broker.a_topic(), str(uuid4()), transactions=True
    )
    try:
        async with asyncio.timeout(5), publisher.opened() as opened:
            await opened.send([], CommittedPosition(1, "one"))
        can = True
    except (KafkaError, TimeoutError):
        can = False
    assert can == broker.can(Can.TRANSACTIONS)


async def test_log_append_time(broker: KnownBroker) -> None:
    topic = await broker.a_topic(message_timestamp_type="LogAppendTime")
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        sent = await producer.send_and_wait(topic, b"x", timestamp_ms=1_000)
    finally:
        await producer.stop()
    is_now = abs(sent.timestamp / 1000 - time.time()) < 60
    assert is_now == broker.can(Can.LOG_APPEND_TIME)


async def test_refusing_large_records(broker: KnownBroker) -> None:
    topic = await broker.a_topic(max_message_bytes="1000")
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"x" * 2_000)
        refuses = False
    except MessageSizeTooLargeError:
        refuses = True
    finally:
        await producer.stop()
    assert refuses == broker.can(Can.REFUSE_LARGE)
