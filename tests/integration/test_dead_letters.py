"""Dead letters on both brokers: read to the end, retried unchanged, resolved once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaConnectionError, KafkaError

from cli.sandbox.kafka import kafka
from contracts.topics import DEAD_LETTERS, SYNC_REQUESTS
from messaging import topic_reader as reading_module
from messaging.connection import KafkaConnection
from messaging.dead_letters.records import dead_letter
from messaging.dead_letters.resolution import (
    NotRetriableError,
    discard,
    letter_record,
    read_letters,
)
from messaging.requests import producing
from messaging.topic_reader import (
    UnknownTopicError,
    open_topic_reader,
    partitions_of,
    record_at,
    to_the_end,
)
from messaging.topics import declare_topics
from tests.support.dead_letter_topic import PARTITIONS, PATIENCE, Kafka, small_producer, topics

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024


@pytest.fixture(params=["sandbox", "apache"])
def address(request: pytest.FixtureRequest) -> str:
    fixture = {"sandbox": "module_kafka", "apache": "apache_kafka"}[request.param]
    found: str = request.getfixturevalue(fixture)
    return found


@pytest_asyncio.fixture
async def broker(address: str) -> AsyncIterator[Kafka]:
    async with topics(address, {"max.message.bytes": str(8 * MIB)}) as broker:
        yield broker


async def test_every_dead_letter_is_read_across_fetches_and_partitions(broker: Kafka) -> None:
    """Partitions with several fetches, with a letter larger than a fetch, and empty ones."""
    sizes = [400_000] * 10 + [3 * MIB] + [1] * 50
    for size in sizes:
        await broker.producer.send(broker.letters, b"x" * size, partition=1)
    await broker.producer.send(broker.letters, b"last", partition=4)
    await broker.producer.flush()
    letters = await broker.all()
    assert sorted(letter.size for letter in letters) == sorted([*sizes, 4])
    names = {str(letter.name) for letter in letters}
    assert names == {f"1/{n}" for n in range(len(sizes))} | {"4/0"}


async def test_an_empty_topic_has_no_dead_letters_and_a_missing_one_is_named(
    broker: Kafka,
) -> None:
    assert await broker.all() == []
    with pytest.raises(UnknownTopicError, match="does not have the topic test-th"):
        await read_letters(broker.reader, "test-there-is-none")
    assert await partitions_of(broker.reader, "test-there-is-none") == [], "it was not made"


async def test_reading_ends_while_others_continue_to_write(broker: Kafka) -> None:
    await broker.producer.send_and_wait(broker.letters, b"first", partition=0)

    async def write() -> None:
        while True:
            await broker.producer.send_and_wait(broker.letters, b"more", partition=0)

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(PATIENCE):
            assert (await broker.all())[0].size == len(b"first")
        assert not writing.done()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_a_retried_request_equals_the_original(broker: Kafka) -> None:
    headers = [("traceparent", b"00-aa"), ("twice", b"1"), ("twice", b"\xff"), ("null", None)]
    came = await broker.came(b"\xff\x00 not JSON", headers=headers)
    letter = await broker.dead_letter_of(came)
    assert await broker.open() == [letter]

    again = await broker.retry(letter)

    assert (again.key, again.value, again.partition) == (came.key, came.value, came.partition)
    assert again.offset > came.offset
    first_received = str(came.timestamp).encode()
    assert list(again.headers) == [*headers, ("spreaview-ordered-at", first_received)]
    (dealt_with,) = await broker.all()
    (resolution,) = dealt_with.resolutions
    where = f"{broker.requests}/{again.partition}@{again.offset}"
    assert (resolution.outcome, resolution.reason) == ("retried", where)
    assert await broker.open() == []


async def test_a_request_keeps_the_time_of_its_first_receipt_over_all_retries(
    broker: Kafka,
) -> None:
    came = await broker.came(b"never good")
    record = came
    for trips in range(1, 4):
        letter = await broker.dead_letter_of(record)
        assert letter.first_received_ms == came.timestamp
        assert letter.offset == record.offset, "it is a new letter, of the record that came last"
        assert len(await broker.all()) == trips
        record = await broker.retry(letter)
    assert await broker.open() == []


async def test_a_retry_interrupted_before_its_resolution_leaves_the_dead_letter_open(
    broker: Kafka,
) -> None:
    class CutOff:
        """Sends the request, then is gone."""

        async def partitions_for(self, topic: str) -> Any:
            return await broker.producer.partitions_for(topic)

        async def send_and_wait(self, topic: str, *args: Any, **given: Any) -> Any:
            if topic == broker.letters:
                raise KafkaConnectionError("away")
            return await broker.producer.send_and_wait(topic, *args, **given)

    letter = await broker.dead_letter_of(await broker.came(b"not JSON"))
    with pytest.raises(KafkaConnectionError):
        await broker.retry(letter, by=CutOff())
    assert await broker.open() == [letter]

    again = await broker.retry(letter)
    assert again.offset == letter.offset + 2, "the one that was cut off was published, too"
    assert await broker.open() == []


@pytest.mark.parametrize(("key", "value"), [(None, None), (b"event", None), (None, b"x")])
async def test_a_record_without_key_or_value_is_kept_and_retried(
    broker: Kafka, key: bytes | None, value: bytes | None
) -> None:
    came = await broker.came(b"stand-in")
    came.key, came.value = key, value  # aiokafka sends no record without both, others do
    letter = await broker.dead_letter_of(came)
    again = await broker.retry(letter)
    assert (again.key, again.value or b"") == (key, value or b"")


async def test_a_discarded_letter_has_the_reason_and_the_time(broker: Kafka) -> None:
    letter = await broker.dead_letter_of(await broker.came(b"not JSON"))
    other = await broker.dead_letter_of(await broker.came(b"not JSON either"))
    await discard(broker.producer, letter.name, "a test of März", topic=broker.letters)
    assert await broker.open() == [other]
    dealt_with = (await read_letters(broker.reader, broker.letters)).get(letter.name)
    assert dealt_with is not None
    (resolution,) = dealt_with.resolutions
    assert (resolution.outcome, resolution.reason) == ("discarded", "a test of März")
    assert resolution.at_ms >= letter.dead_lettered_ms


async def test_a_truncated_dead_letter_is_retried_from_its_original(broker: Kafka) -> None:
    body = bytes(range(256)) * 2000
    came = await broker.came(body, headers=[("own", b"header")])
    async with small_producer(broker.address) as small:
        letter = await broker.dead_letter_of(came, by=small)
    assert (letter.truncated, letter.size) == (True, len(body))
    kept = await letter_record(broker.reader, letter.name, broker.letters)
    assert kept is not None
    assert kept.value == body[: 64 * 1024]

    again = await broker.retry(letter)
    assert again.value == body
    assert again.headers[0] == ("own", b"header")


async def test_a_truncated_dead_letter_without_its_original_cannot_be_retried(
    broker: Kafka,
) -> None:
    body = b"x" * 200_000
    await broker.came(body)
    came = await broker.came(body)
    async with small_producer(broker.address) as small:
        letter = await broker.dead_letter_of(came, by=small)
    elsewhere = {
        "another record": letter._replace(offset=0, timestamp_ms=1),
        "another record ": letter._replace(size=7),
        "there no more": letter._replace(offset=99),
        "there is no": letter._replace(partition=PARTITIONS),
        "there is no ": letter._replace(topic="test-there-is-none"),
    }
    for said, lost in elsewhere.items():
        with pytest.raises(NotRetriableError, match=said.strip()):
            await broker.retry(lost)
    assert await broker.open() == [letter]


async def test_a_broker_that_stops_answering_is_an_error(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "PATIENCE_SECONDS", 0.5)
    async with AsyncExitStack() as servers:
        address = await servers.enter_async_context(kafka(log_path=tmp_path / "kafka.log"))
        await declare_topics(
            KafkaConnection(address), partitions=2, replication_factor=1, retention_days=1
        )
        async with asyncio.timeout(PATIENCE), open_topic_reader(KafkaConnection(address)) as reader:
            partitions = await partitions_of(reader, DEAD_LETTERS)
            await servers.aclose()
            with pytest.raises(KafkaError):
                _ = [record async for record in to_the_end(reader, partitions)]
            with pytest.raises(KafkaError):
                await record_at(reader, partitions[0], 0)


async def test_the_dead_letter_topic_takes_every_record_that_the_request_topic_took(
    address: str,
) -> None:
    await declare_topics(
        KafkaConnection(address), partitions=12, replication_factor=1, retention_days=1
    )
    body = b"x" * (MIB - 100)
    async with (
        open_topic_reader(KafkaConnection(address)) as reader,
        producing(KafkaConnection(address)) as producer,
    ):
        sent = await producer.send_and_wait(SYNC_REQUESTS, body, key=b"k")
        place = TopicPartition(SYNC_REQUESTS, sent.partition)
        record = await record_at(reader, place, sent.offset)
        assert record is not None
        await dead_letter(producer, record, "too long a story " * 50)
        letters = (await read_letters(reader)).all()
        (letter,) = [x for x in letters if (x.partition, x.offset) == (sent[1], sent.offset)]
        assert (letter.size, letter.truncated) == (len(body), False)
        await discard(producer, letter.name, "it was a test")


async def test_a_topic_with_a_small_limit_gets_the_beginning_of_a_record(apache_kafka: str) -> None:
    """The topic existed before, so the broker itself refuses the whole record."""
    async with topics(apache_kafka, {"max.message.bytes": "50000"}) as broker:
        body = b"x" * 900_000
        letter = await broker.dead_letter_of(await broker.came(body))
        assert (letter.truncated, letter.size) == (True, len(body))
        assert (await broker.retry(letter)).value == body


async def test_retrying_a_truncated_dead_letter_reports_a_deleted_original(
    apache_kafka: str,
) -> None:
    async with topics(apache_kafka, {"max.message.bytes": "50000"}) as broker:
        letter = await broker.dead_letter_of(await broker.came(b"x" * 100_000))
        await broker.came(b"a later one")
        admin = AIOKafkaAdminClient(bootstrap_servers=apache_kafka)
        await admin.start()
        place = TopicPartition(broker.requests, letter.partition)
        await admin.delete_records({place: RecordsToDelete(letter.offset + 1)})
        await admin.close()
        with pytest.raises(NotRetriableError, match="no more"):
            await broker.retry(letter)


async def test_reading_ends_at_a_partition_that_ends_in_a_transaction_marker(
    apache_kafka: str,
) -> None:
    """The end of a transaction takes an offset, with a marker that no reader sees."""
    async with topics(apache_kafka) as broker:
        async with (
            AIOKafkaProducer(
                bootstrap_servers=apache_kafka, transactional_id=f"test-{uuid4()}"
            ) as producer,
            producer.transaction(),
        ):
            await producer.send_and_wait(broker.letters, b"committed", partition=0)
        async with asyncio.timeout(PATIENCE):
            (letter,) = await broker.all()
            assert letter.size == len(b"committed")
            place = TopicPartition(broker.letters, 0)
            assert await record_at(broker.reader, place, 1) is None
