"""A worker that ends in any way: its requests are finished once, by itself or by the next."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts.messages import SyncRequested
from contracts.topics import DEFAULT_PARTITIONS, SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from tests.support.line import a_request
from tests.support.ports import free_port
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending
from tests.support.sessionize.double import Double, sessionize_double
from worker.relay.checkpoint import CHECKPOINT
from worker.sync.consumer import GROUP

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
NO_ANSWER = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))
SCHEDULE = Answer(encode_conference(conference("demo2026")))


@dataclass
class Setup:
    """Servers, and the folder of the workers' logs."""

    kafka: str
    database_url: str
    engine: AsyncEngine
    double: Double
    folder: Path

    @contextmanager
    def worker(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker while the block runs; kill it at the end."""
        env = environment(
            **{
                "database_url": self.database_url,
                "kafka_bootstrap_servers": self.kafka,
                "kafka_transactions": "false",
                "kafka_session_seconds": "1",
                "sessionize_base_url": self.double.base_url,
                "fetch_seconds": "60",
                **settings,
            }
        )
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen([*COMMAND, "worker"], env=env, cwd=ROOT, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def publish(self, *requests: SyncRequested) -> None:
        async with producing(KafkaConnection(self.kafka)) as producer:
            for request in requests:
                await publish_request(producer, request)

    async def fetched(self, number: int) -> None:
        """Wait until Sessionize has received this number of requests."""
        async with asyncio.timeout(PATIENCE):
            while len(self.double.requests) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def types(self, event_id: UUID, last: str) -> list[str]:
        """Wait until a stream ends with this type; return the types of its events."""
        log = EventLog(self.engine)
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [recorded.type async for recorded in log.read_stream(event_id)]
                if found and found[-1] == last:
                    return found
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def setup(own_kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[Setup]:
    await declare_topics(
        KafkaConnection(own_kafka),
        partitions=DEFAULT_PARTITIONS,
        replication_factor=1,
        retention_days=1,
    )
    async with (
        sessionize_double(Documents()) as double,
        database(database_url, pool_size=2) as engine,
    ):
        yield Setup(own_kafka, database_url, engine, double, tmp_path)


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, PATIENCE)


async def test_a_stopped_worker_finishes_its_running_sync(setup: Setup) -> None:
    slow = Delivery(head_after_seconds=2.0)
    setup.double.documents.put("slowly001", SCHEDULE._replace(delivery=slow))
    request = a_request("slowly001", WINDOW)
    await setup.publish(request)
    with setup.worker() as worker:
        await setup.fetched(1)
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
    types = await setup.types(request.spreaview_event_id, "SyncCompleted")
    assert types.count("SyncStarted") == 1
    assert (await committed(setup)) == 1


async def committed(setup: Setup) -> int:
    """The number of requests that the group has committed."""
    async with _offsets_of_the_group(setup) as consumer:
        offsets = [await consumer.committed(TopicPartition(SYNC_REQUESTS, n)) for n in range(12)]
    return sum(offset or 0 for offset in offsets)


@asynccontextmanager
async def _offsets_of_the_group(setup: Setup) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=setup.kafka, group_id=GROUP, enable_auto_commit=False
    )
    consumer.assign([TopicPartition(SYNC_REQUESTS, n) for n in range(DEFAULT_PARTITIONS)])
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def reset_offsets(setup: Setup) -> None:
    """Set the group back to the beginning, like a new group; only a member can commit."""
    member = AIOKafkaConsumer(
        SYNC_REQUESTS,
        bootstrap_servers=setup.kafka,
        group_id=GROUP,
        enable_auto_commit=False,
        session_timeout_ms=1000,
        heartbeat_interval_ms=300,
    )
    await member.start()
    try:
        await member.commit(dict.fromkeys(member.assignment(), 0))
    finally:
        await member.stop()
    assert await committed(setup) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
async def test_the_next_worker_resumes_an_unfinished_run(
    setup: Setup, stop: signal.Signals
) -> None:
    """The run keeps its id and its place in the order."""
    setup.double.documents.put("hanging01", NO_ANSWER, SCHEDULE)
    request = a_request("hanging01", WINDOW)
    await setup.publish(request)
    with setup.worker(graceful_timeout="0.5") as worker:
        await setup.fetched(1)
        worker.send_signal(stop)
        assert await ended(worker) == (0 if stop == signal.SIGTERM else -signal.SIGKILL)
    assert await committed(setup) == 0
    with setup.worker():
        types = await setup.types(request.spreaview_event_id, "SyncCompleted")
    assert types.count("SyncStarted") == 1
    assert len(setup.double.requests) == 2


async def test_a_worker_that_waits_for_its_servers_can_be_stopped(setup: Setup) -> None:
    with setup.worker(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}") as worker:
        log = setup.folder / "worker.log"
        async with asyncio.timeout(PATIENCE):
            while b"Kafka is failing" not in log.read_bytes():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
        assert log.read_bytes().count(b"failing") == 1, (
            "once per change of state, not once per attempt"
        )


async def test_a_stuck_leader_is_replaced(setup: Setup) -> None:
    """After SIGSTOP its connections stay open, and it does not notice."""
    with setup.worker() as first:
        requests = [a_request("demo2026", WINDOW) for _ in range(2)]
        await setup.publish(requests[0])
        await setup.types(requests[0].spreaview_event_id, "SyncCompleted")
        await published(setup)
        with setup.worker():
            first.send_signal(signal.SIGSTOP)
            await setup.publish(requests[1])
            await setup.types(requests[1].spreaview_event_id, "SyncCompleted")
            await published(setup)
            first.send_signal(signal.SIGCONT)


async def published(setup: Setup) -> None:
    """Wait until the relay's checkpoint is at the head of the log."""
    head = await EventLog(setup.engine).head()
    async with asyncio.timeout(PATIENCE):
        while True:
            checkpoint = await Checkpoints(setup.engine).read(CHECKPOINT)
            if checkpoint is not None and checkpoint.position >= head:
                return
            await asyncio.sleep(0.05)


async def test_consuming_all_requests_again_appends_nothing(setup: Setup) -> None:
    requests = [a_request("demo2026", WINDOW) for _ in range(15)]
    await setup.publish(*requests)
    with setup.worker() as worker:
        for request in requests:
            await setup.types(request.spreaview_event_id, "SyncCompleted")
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
    assert await committed(setup) == len(requests)
    head = await EventLog(setup.engine).head()
    await reset_offsets(setup)
    fetches = len(setup.double.requests)
    with setup.worker():
        async with asyncio.timeout(PATIENCE):
            while await committed(setup) < len(requests):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    assert await EventLog(setup.engine).head() == head
    assert len(setup.double.requests) == fetches
