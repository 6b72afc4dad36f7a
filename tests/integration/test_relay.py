"""The relay publishes every event in order, by one leader at a time; once, with transactions."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.api import Mismatch
from cli.connections import leader_connection
from cli.health.probes import relay_probe
from eventstore.checkpoints import Checkpoint
from eventstore.leadership import LOCK, Leadership
from eventstore.log import EventLog
from eventstore.wakeup import WakeUp
from messaging import topic_tail
from messaging.cloudevents import CloudEvent, Record, log_source
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.publisher import CommittedPosition, OpenPublisher, TransactionalPublisher
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.chaos.proxy import LOOPBACK, Proxy
from tests.support.ports import free_port
from tests.support.relaying import PATIENCE, Subject, versions
from worker.relay.checkpoint import CHECKPOINT
from worker.relay.mismatch import LogMismatchError
from worker.relay.relay import record_of
from worker.relay.rewind import RewindError, rewind

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def subject(
    log: EventLog, engine: AsyncEngine, database_url: str, broker: KnownBroker
) -> Subject:
    topic = await broker.a_topic()
    transactions = broker.can(Can.TRANSACTIONS)
    publisher = TransactionalPublisher(
        broker.connection, topic, f"relay-{uuid4()}", transactions=transactions
    )
    return Subject(log, engine, database_url, publisher)


def versions_by_stream(events: Sequence[CloudEvent], streams: dict[UUID, UUID]) -> object:
    found: dict[UUID, list[int]] = defaultdict(list)
    for event in events:
        found[streams[event.id]].append(event.stream_version)
    return dict(found)


async def test_every_event_is_published_in_the_order_of_its_stream(subject: Subject) -> None:
    streams = [uuid4() for _ in range(10)]
    async with subject.relaying():
        for expected_version in (0, 5, 10):
            appends = (subject.append(stream, expected_version, 5) for stream in streams)
            await asyncio.gather(*appends)
        published = await subject.published(150)
    stream_of = {r.message_id: r.stream_id for r in await subject.log.read_all(0)}
    assert {event.id for event in published} == set(stream_of)
    expected = {stream: list(range(1, 16)) for stream in streams}
    assert versions_by_stream(published, stream_of) == expected


async def test_a_relay_continues_where_the_last_one_stopped(subject: Subject) -> None:
    stream = uuid4()
    await subject.append(stream, 0, 20)
    async with subject.relaying():
        await subject.caught_up()
    await subject.append(stream, 20, 5)
    async with subject.relaying():
        await subject.caught_up()
        assert versions(await subject.published(25)) == list(range(1, 26))


async def test_only_one_relays_and_another_takes_over(subject: Subject) -> None:
    stream = uuid4()
    await subject.append(stream, 0, 10)
    async with subject.relaying() as first, subject.relaying(), subject.relaying():
        await subject.caught_up()
        first.cancel()
        await subject.append(stream, 10, 10)
        await subject.caught_up()
        assert await leaders(subject) == 1
        await cut_off_the_leader(subject)
        await subject.append(stream, 20, 10)
        await subject.caught_up()
        published = await subject.published(30)
    assert list(dict.fromkeys(versions(published))) == list(range(1, 31))


_LEADERS = f"""
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
      AND a.application_name LIKE 'spreaview-sync relay%'
      AND (l.classid::bigint << 32) | l.objid::bigint = {LOCK}
"""


async def leaders(subject: Subject) -> int:
    async with subject.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) {_LEADERS}"))).scalar_one())


async def cut_off_the_leader(subject: Subject) -> None:
    connection = await asyncpg.connect(subject.database_url)
    await connection.execute(f"SELECT pg_terminate_backend(l.pid) {_LEADERS}")
    await connection.close()


# A producer of aiokafka that is cancelled while it connects leaves the connection to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_each_event_is_published_once_although_leaders_die(
    subject: Subject, broker: KnownBroker
) -> None:
    broker.needs(Can.TRANSACTIONS)
    dice = random.Random(7)
    stream, length = uuid4(), 300
    await subject.append(stream, 0, length)
    for _ in range(12):
        async with subject.relaying():
            await asyncio.sleep(dice.uniform(0.1, 0.6))  # the moment of its death
    async with subject.relaying():
        await subject.caught_up()
        assert versions(await subject.published(length)) == list(range(1, length + 1))


async def test_a_leader_deposed_while_sending_publishes_nothing(
    subject: Subject, broker: KnownBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stuck between its records and their commit while another relay takes over."""
    broker.needs(Can.TRANSACTIONS)
    stream = uuid4()
    await subject.append(stream, 0, 5)
    is_stuck, continues = asyncio.Event(), asyncio.Event()
    original = Producer.send_all

    async def standing_still(
        self: Producer, topic: str, records: Sequence[Record], progress: Callable[[], None]
    ) -> None:
        await original(self, topic, records, progress)
        if not is_stuck.is_set():
            is_stuck.set()
            await continues.wait()

    monkeypatch.setattr(Producer, "send_all", standing_still)
    async with subject.relaying() as old:
        await asyncio.wait_for(is_stuck.wait(), PATIENCE)
        async with subject.publisher.opened() as new:
            assert new.committed is None
            continues.set()
        await subject.caught_up()  # it was fenced, and started again
        assert not old.done()
    assert versions(await subject.published(5)) == [1, 2, 3, 4, 5]
    uncommitted = await subject.published(10, committed=False)
    assert versions(uncommitted) == [1, 2, 3, 4, 5] * 2


async def test_kafkas_copy_of_the_checkpoint_wins_if_it_is_later(
    subject: Subject, broker: KnownBroker
) -> None:
    """The state after a crash between the two commits, in Kafka and in the database."""
    broker.needs(Can.TRANSACTIONS)
    stream = uuid4()
    await subject.append(stream, 0, 10)
    async with subject.relaying():
        await subject.caught_up()
    await subject.checkpoints.reset(CHECKPOINT)
    await subject.append(stream, 10, 1)
    async with subject.relaying():
        await subject.caught_up()
        assert versions(await subject.published(11)) == list(range(1, 12))


async def test_a_standby_replaces_a_silently_dead_connection(
    database_url: str,
) -> None:
    """The database's address has moved to another host: no answer, and no error."""
    url = make_url(database_url)
    hole = Proxy(free_port())
    hole.target = url.port
    await hole.open()
    through = url.set(host=LOOPBACK, port=hole.port).render_as_string(hide_password=False)
    try:
        async with Leadership(partial(leader_connection, database_url)).leading(WakeUp(1)):
            standby = Leadership(partial(leader_connection, through)).leading(WakeUp(1))
            waiting = asyncio.ensure_future(standby.__aenter__())
            await asyncio.sleep(1)
            swallowing = asyncio.create_task(hole.swallow(PATIENCE))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 10)
            assert waiting.done(), "it tries again, with another connection"
    finally:
        swallowing.cancel()
        waiting.cancel()
        await asyncio.gather(swallowing, waiting, return_exceptions=True)
        await hole.close()


@pytest.mark.parametrize("other_log", [True, False])
async def test_a_log_that_lacks_the_checkpoints_event_is_not_relayed_until_an_operator_decides(
    subject: Subject, other_log: bool
) -> None:
    stream = uuid4()
    await subject.append(stream, 0, 3)
    old_id = (await subject.log.identity()).log_id
    third = (await subject.log.read_all(0))[2]
    async with subject.leadership.deposing() as leader:
        await leader.write(
            CHECKPOINT,
            Checkpoint(
                uuid4() if other_log else old_id,
                third.position,
                third.message_id if other_log else uuid4(),
            ),
        )
    async with subject.relaying():
        status = await subject.status()
        assert status.mismatch is not None
        assert "relay rewind --restored" in status.mismatch
        assert not status.is_well
        with pytest.raises(RewindError, match="--to POSITION"):
            await subject.rewind(None, restored=True)
        head = await subject.log.head()
        with pytest.raises(RewindError, match=f"beyond the head of the log, which is at {head}"):
            await subject.rewind(head + 1, restored=True)
        await subject.rewind(1, restored=True)
        await subject.append(stream, 3, 1)
        await subject.caught_up()
        published = await subject.published(3)
        assert versions(published) == [2, 3, 4]
        new_id = (await subject.log.identity()).log_id
        assert new_id != old_id
        assert {event.source for event in published} == {log_source(new_id)}
        assert (await subject.status()).is_well


async def test_a_restored_log_is_noticed_by_what_kafka_has_seen(subject: Subject) -> None:
    """The database and its checkpoint were restored to an earlier time.

    A broker without transactions keeps no copy of the checkpoint: the topic shows the restore.
    """
    stream = uuid4()
    await subject.append(stream, 0, 3)
    async with subject.relaying():
        await subject.caught_up()
    earlier = await subject.checkpoints.read(CHECKPOINT)
    assert earlier is not None
    await subject.append(stream, 3, 3)
    async with subject.relaying():
        await subject.caught_up()

    async with subject.engine.begin() as connection:
        for statement in (
            "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
            f"DELETE FROM event_store.events WHERE position > {earlier.position}",
            "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only",
            "UPDATE event_store.streams SET version = 3",
        ):
            await connection.execute(text(statement))
    async with subject.leadership.deposing() as leader:
        await leader.write(CHECKPOINT, earlier)

    probe = relay_probe(subject.relay(), subject.log, subject.checkpoints, subject.publisher)
    serving = Mismatch(subject.engine, look_seconds=0)
    assert await serving.reason() is None, "only Kafka shows it, and only the relay looks there"
    async with subject.relaying():
        seen_by = "Kafka keeps" if subject.publisher.transactions else "the event at position 6 on"
        assert seen_by in str((await subject.status()).mismatch)
        async with asyncio.timeout(PATIENCE):
            while await serving.reason() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with pytest.raises(LogMismatchError, match="position 6"):
            await probe.look()
        await subject.append(stream, 3, 4)
        await subject.rewind(None, restored=True)
        await subject.caught_up()
        assert await serving.reason() is None
        assert await probe.look()
        published = await subject.published(10)
    assert versions(published) == [1, 2, 3, 4, 5, 6, 4, 5, 6, 7]
    assert len({event.source for event in published}) == 2


async def test_an_interrupted_rewind_after_a_restore_can_be_repeated(
    subject: Subject,
) -> None:
    stream = uuid4()
    await subject.append(stream, 0, 3)
    async with subject.relaying():
        await subject.caught_up()
    log_id = (await subject.log.identity()).log_id
    nowhere = subject.publisher._replace(kafka=KafkaConnection("127.0.0.1:9"))
    with pytest.raises(KafkaError):
        await rewind(
            subject.log, subject.checkpoints, nowhere, subject.leadership, to=None, restored=True
        )
    assert (await subject.log.identity()).log_id == log_id, "nothing was done"

    async def unconfirmed(
        self: OpenPublisher, records: Sequence[Record], committed: CommittedPosition
    ) -> None:
        raise KafkaTimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenPublisher, "send", unconfirmed)
        with pytest.raises(KafkaTimeoutError):
            await subject.rewind(None, restored=True)
    checkpoint = await subject.rewind(None, restored=True)
    assert checkpoint.position == await subject.log.head()
    async with subject.relaying():
        await subject.append(stream, 3, 1)
        await subject.caught_up()
    assert versions(await subject.published(4)) == [1, 2, 3, 4]
    assert (await subject.status()).mismatch is None


async def test_a_foreign_offset_is_reported_and_repaired_by_a_rewind(
    subject: Subject, broker: KnownBroker
) -> None:
    broker.needs(Can.TRANSACTIONS)
    await subject.append(uuid4(), 0, 3)
    async with subject.relaying():
        await subject.caught_up()
    somebody = AIOKafkaConsumer(
        bootstrap_servers=broker.address,
        group_id=subject.publisher.group_id,
        enable_auto_commit=False,
    )
    partition = TopicPartition(subject.publisher.topic, 0)
    somebody.assign([partition])
    await somebody.start()
    await somebody.commit({partition: 1000})
    await somebody.stop()

    status = await subject.status()
    assert not status.is_well
    assert "relay rewind --to" in str(status.mismatch)
    with pytest.raises(RewindError, match="beyond"):
        await subject.rewind(999)
    await subject.rewind(await subject.log.head())
    assert (await subject.status()).mismatch is None


async def test_rewinding_publishes_later_events_again(subject: Subject) -> None:
    await subject.append(uuid4(), 0, 10)
    seventh = (await subject.log.read_all(0))[6].position
    async with subject.relaying():
        await subject.caught_up()
        await subject.rewind(seventh)
        assert versions(await subject.published(13)) == [*range(1, 11), 8, 9, 10]
        await subject.rewind(0)
        assert versions(await subject.published(23))[13:] == list(range(1, 11))


@pytest.mark.parametrize("confirmed", [12, 5], ids=["the whole batch", "a part of it"])
async def test_without_transactions_a_restart_repeats_nothing(
    subject: Subject, confirmed: int
) -> None:
    """The leader was killed after the broker's confirmation, before it wrote its checkpoint."""
    subject.publisher = subject.publisher._replace(transactions=False)
    streams = [uuid4() for _ in range(3)]
    for stream in streams:
        await subject.append(stream, 0, 4)
    async with subject.relaying(batch=3):
        await subject.caught_up()
    for stream in streams:
        await subject.append(stream, 4, 4)
    log_id = (await subject.log.identity()).log_id
    batch = (await subject.log.read_all(0))[12:]
    async with subject.publisher.opened() as publisher:
        records = [record_of(event, log_id) for event in batch[:confirmed]]
        await publisher.send(records, CommittedPosition(batch[-1].position, ""))
    async with subject.relaying():
        await subject.caught_up()
    published = await subject.on_the_topic()
    by_stream = Counter(event.id for event in published)
    assert set(by_stream.values()) == {1}
    assert len(by_stream) == 24


async def test_the_end_of_a_topic_is_read_back_to_the_last_confirmed_event(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any distance, and without counting the events of another log."""
    monkeypatch.setattr(topic_tail, "_FIRST_LOOK", 2)
    subject.publisher = subject.publisher._replace(transactions=False)
    await subject.append(uuid4(), 0, 40)
    events = await subject.log.read_all(0)
    own, other = (await subject.log.identity()).log_id, uuid4()
    async with subject.publisher.opened() as publisher:
        for log_id in (own, other):
            records = [record_of(event, log_id) for event in events]
            await publisher.send(records, CommittedPosition(events[-1].position, ""))
    beyond = events[9].position
    found = await subject.publisher.published_beyond(log_source(own), beyond)
    assert found == {event.position: event.message_id for event in events[10:]}
    assert await subject.publisher.published_beyond(log_source(uuid4()), 0) == {}


async def test_rewinding_does_not_skip_unpublished_events(subject: Subject) -> None:
    stream = uuid4()
    await subject.append(stream, 0, 3)
    async with subject.relaying():
        await subject.caught_up()
    await subject.append(stream, 3, 3)
    head = await subject.log.head()
    with pytest.raises(RewindError, match=f"{head} is beyond .* never be published"):
        await subject.rewind(head)
    async with subject.relaying():
        await subject.caught_up()
    assert versions(await subject.published(6)) == list(range(1, 7))


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        (30_000, {"max_message_bytes": "20000"}),
        (2_000_000, {"segment_bytes": "1048576", "max_message_bytes": "8388608"}),
    ],
)
async def test_an_event_too_large_for_the_topic_is_reported_and_stops_no_other(
    subject: Subject, broker: KnownBroker, size: int, limit: dict[str, str]
) -> None:
    broker.needs(Can.REFUSE_LARGE)
    topic = await broker.a_topic(**limit)
    subject.publisher = subject.publisher._replace(topic=topic)
    stream = uuid4()
    await subject.append(stream, 0, 9)
    await subject.append(stream, 9, 1, name="x" * size)
    await subject.append(stream, 10, 9)
    async with subject.relaying():
        await subject.caught_up()
        assert versions(await subject.published(18)) == [n for n in range(1, 20) if n != 10]
    status = await subject.status()
    (refused,) = status.unpublished
    assert refused.message_id == (await subject.log.read_all(0))[9].message_id
    assert not status.is_well


async def test_kafka_keeps_the_committed_position_of_the_last_batch(
    subject: Subject, broker: KnownBroker
) -> None:
    broker.needs(Can.TRANSACTIONS)
    async with subject.publisher.opened() as publisher:
        assert publisher.committed is None
        await publisher.send([], CommittedPosition(5, "five"))
        await publisher.send([], CommittedPosition(3_000_000_000_000, "far"))
    async with subject.publisher.opened() as publisher:
        assert publisher.committed == CommittedPosition(3_000_000_000_000, "far")
