"""However a worker ends, what it had in hand is finished, once: by itself or by the next one."""

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
from cli.sandbox.ports import free_port
from contracts.messages import SyncRequested
from contracts.topics import DEFAULT_PARTITIONS, SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from tests.support.line import a_request
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending
from tests.support.sessionize.double import Double, sessionize_double
from worker.relay.checkpoint import CHECKPOINT
from worker.sync.consumer import GROUP

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
SILENCE = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))
SCHEDULE = Answer(encode_conference(conference("demo2026")))


@dataclass
class Place:
    """Servers, and where workers write what they log."""

    kafka: str
    database_url: str
    engine: AsyncEngine
    double: Double
    folder: Path

    @contextmanager
    def worker(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """A running worker; killed at the end if it still runs."""
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
        """Wait until Sessionize has been asked so many times."""
        async with asyncio.timeout(PATIENCE):
            while len(self.double.requests) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def types(self, event_id: UUID, last: str) -> list[str]:
        """The types of a stream's events, once the last is this."""
        log = EventLog(self.engine)
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [recorded.type async for recorded in log.read_stream(event_id)]
                if found and found[-1] == last:
                    return found
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def place(own_kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[Place]:
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
        yield Place(own_kafka, database_url, engine, double, tmp_path)


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, PATIENCE)


async def test_asked_to_end_it_finishes_what_runs(place: Place) -> None:
    slow = Delivery(head_after_seconds=2.0)
    place.double.documents.put("slowly001", SCHEDULE._replace(delivery=slow))
    request = a_request("slowly001", WINDOW)
    await place.publish(request)
    with place.worker() as worker:
        await place.fetched(1)
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
    types = await place.types(request.spreaview_event_id, "SyncCompleted")
    assert types.count("SyncStarted") == 1
    assert (await committed(place)) == 1


async def committed(place: Place) -> int:
    """How many requests the group has done with."""
    async with _looking_at_the_group(place) as consumer:
        offsets = [await consumer.committed(TopicPartition(SYNC_REQUESTS, n)) for n in range(12)]
    return sum(offset or 0 for offset in offsets)


@asynccontextmanager
async def _looking_at_the_group(place: Place) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.kafka, group_id=GROUP, enable_auto_commit=False
    )
    consumer.assign([TopicPartition(SYNC_REQUESTS, n) for n in range(DEFAULT_PARTITIONS)])
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def begin_anew(place: Place) -> None:
    """Set the group back to the beginning, as a new one would be; a member has to do it."""
    member = AIOKafkaConsumer(
        SYNC_REQUESTS,
        bootstrap_servers=place.kafka,
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
    assert await committed(place) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_what_it_cannot_finish_the_next_one_resumes(
    place: Place, how: signal.Signals
) -> None:
    """The run goes on under its own id, as the same run, at its place in the order."""
    place.double.documents.put("hanging01", SILENCE, SCHEDULE)
    request = a_request("hanging01", WINDOW)
    await place.publish(request)
    with place.worker(graceful_timeout="0.5") as worker:
        await place.fetched(1)
        worker.send_signal(how)
        assert await ended(worker) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    assert await committed(place) == 0
    with place.worker():
        types = await place.types(request.spreaview_event_id, "SyncCompleted")
    assert types.count("SyncStarted") == 1
    assert len(place.double.requests) == 2


async def test_asked_to_end_while_it_waits_for_its_servers_it_ends(place: Place) -> None:
    with place.worker(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}") as worker:
        log = place.folder / "worker.log"
        async with asyncio.timeout(PATIENCE):
            while b"Kafka is failing" not in log.read_bytes():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
        assert log.read_bytes().count(b"failing") == 1, "once per state, not once per try"


async def test_a_leader_that_stands_still_is_replaced(place: Place) -> None:
    """SIGSTOP: its connections stay open, and it knows nothing of it."""
    with place.worker() as first:
        requests = [a_request("demo2026", WINDOW) for _ in range(2)]
        await place.publish(requests[0])
        await place.types(requests[0].spreaview_event_id, "SyncCompleted")
        await published(place)
        with place.worker():
            first.send_signal(signal.SIGSTOP)
            await place.publish(requests[1])
            await place.types(requests[1].spreaview_event_id, "SyncCompleted")
            await published(place)
            first.send_signal(signal.SIGCONT)


async def published(place: Place) -> None:
    """Wait until the relay's checkpoint stands at the head of the log."""
    head = await EventLog(place.engine).head()
    async with asyncio.timeout(PATIENCE):
        while True:
            checkpoint = await Checkpoints(place.engine).read(CHECKPOINT)
            if checkpoint is not None and checkpoint.position >= head:
                return
            await asyncio.sleep(0.05)


async def test_all_requests_consumed_again_by_a_new_group_append_nothing(place: Place) -> None:
    requests = [a_request("demo2026", WINDOW) for _ in range(15)]
    await place.publish(*requests)
    with place.worker() as worker:
        for request in requests:
            await place.types(request.spreaview_event_id, "SyncCompleted")
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
    assert await committed(place) == len(requests)
    head = await EventLog(place.engine).head()
    await begin_anew(place)
    fetches = len(place.double.requests)
    with place.worker():
        async with asyncio.timeout(PATIENCE):
            while await committed(place) < len(requests):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    assert await EventLog(place.engine).head() == head
    assert len(place.double.requests) == fetches
