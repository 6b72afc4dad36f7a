"""Row 6: events that the relay publishes per second, from the log to the confirmed checkpoint.

The floor sends the same records, made beforehand, in transactions of the same size with aiokafka's
`send`, and commits an offset with each. It reads no log and writes no checkpoint.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text

from cli.connections import leader_connection
from cli.settings import Settings
from eventstore.checkpoints import Checkpoints
from eventstore.leadership import Leadership
from eventstore.log import EventLog
from eventstore.wakeup import WakeUp
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.publisher import TransactionalPublisher
from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.servers import Database, Servers
from tests.support.long_log import load
from worker.relay.checkpoint import CHECKPOINT
from worker.relay.relay import Relay, record_of

_EVENTS = {"quick": 10_000, "full": 40_000, "long": 200_000}
_PARTITIONS = 12
_LOOK_SECONDS = 0.005
_BATCH = Settings().relay_batch


async def _topic(kafka: str) -> str:
    name = f"bench-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        configs = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(name, _PARTITIONS, 1, topic_configs=configs)])
    finally:
        await admin.close()
    return name


async def _relay(database: Database, kafka: str) -> float:
    topic = await _topic(kafka)
    async with database.engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.checkpoints"))
    log, checkpoints = EventLog(database.engine), Checkpoints(database.engine)
    relay = Relay(
        log,
        checkpoints,
        TransactionalPublisher(KafkaConnection(kafka), topic, topic, transactions=True),
        Leadership(partial(leader_connection, database.url)),
        WakeUp(1.0),
        batch=_BATCH,
    )
    head = await log.head()
    running = asyncio.create_task(relay.run())
    try:
        while not relay.is_leading:  # noqa: ASYNC110 (it is a plain attribute)
            await asyncio.sleep(_LOOK_SECONDS)
        with Stopwatch() as watch:
            while True:
                there = await checkpoints.read(CHECKPOINT)
                if there is not None and there.position == head:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return head / watch.seconds


async def _plain(records: Sequence[Record], kafka: str) -> float:
    topic = await _topic(kafka)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        transactional_id=topic,
        acks="all",
        max_batch_size=512 * 1024,
        linger_ms=2,
    )
    await producer.start()
    try:
        with Stopwatch() as watch:
            for start in range(0, len(records), _BATCH):
                async with producer.transaction():
                    sent = [
                        await producer.send(topic, one.value, key=one.key, headers=one.headers)
                        for one in records[start : start + _BATCH]
                    ]
                    await asyncio.gather(*sent)
                    await producer.send_offsets_to_transaction(
                        {TopicPartition(topic, 0): start + _BATCH}, topic
                    )
    finally:
        await producer.stop()
    return len(records) / watch.seconds


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the result of publishing a backlog."""
    async with servers.kafka() as kafka, servers.database() as database:
        await load(database.engine, _EVENTS[size])
        log = EventLog(database.engine)
        log_id, records, after = (await log.identity()).log_id, list[Record](), 0
        while page := await log.read_all(after):
            after = page[-1].position
            records += [record_of(one, log_id) for one in page]
        yield await compare(
            "6",
            "relay, backlog",
            ours=partial(_relay, database, kafka),
            floor=partial(_plain, records, kafka),
            partner="aiokafka send of ready records",
            target=0.6,
            rounds=3 if size == "quick" else 5,
        )
