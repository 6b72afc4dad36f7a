"""Resolves dead letters: publishes the request again, or records why it is discarded."""

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from contracts.topics import DEAD_LETTERS, REQUESTS, SYNC_REQUESTS
from messaging.dead_letters.fold import DeadLetter, DeadLetterName, DeadLetters
from messaging.dead_letters.records import DISCARDED, RETRIED, original_headers, resolution_headers
from messaging.errors import TOO_LARGE
from messaging.raw_record import RawRecord
from messaging.topic_reader import (
    TopicReader,
    known_partitions_of,
    partitions_of,
    record_at,
    to_the_end,
)


class NotRetriableError(Exception):
    """The request in a dead letter cannot be published again; the dead letter is unchanged."""


async def read_letters(reader: TopicReader, topic: str = DEAD_LETTERS) -> DeadLetters:
    """Return the current dead letters without their bodies.

    Raises:
        UnknownTopicError: the topic does not exist, or is not shown to us.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    letters = DeadLetters()
    async for record in to_the_end(reader, await known_partitions_of(reader, topic)):
        letters.add(record)
    return letters


async def letter_record(
    reader: TopicReader, name: DeadLetterName, topic: str = DEAD_LETTERS
) -> "RawRecord | None":
    """Return the whole record of a dead letter. Raises as `read_letters`."""
    return await record_at(reader, TopicPartition(topic, name.partition), name.offset)


async def retry(
    reader: TopicReader,
    producer: AIOKafkaProducer,
    letter: DeadLetter,
    *,
    topic: str = DEAD_LETTERS,
    requests: str = SYNC_REQUESTS,
) -> RecordMetadata:
    """Publish the original request again, then record this in the partition of the dead letter.

    The request returns to the topic that it came from, or to `requests` if that is not a topic of
    requests.

    The request keeps its partition, which preserves the order among its neighbours, and the time
    of its first receipt. After a crash between the two steps the dead letter is still open. A
    second retry is harmless, because requests are idempotent.

    Returns:
        The new place of the request.

    Raises:
        NotRetriableError: the dead letter has only the beginning of the request and the original is
            gone, or the request is too large for its topic.
        aiokafka.errors.KafkaError: the broker is down.
    """
    original = await _original(reader, letter, topic)
    requests = letter.topic if letter.topic in REQUESTS else requests
    numbers = await producer.partitions_for(requests)
    stays = letter.topic == requests and letter.partition in numbers
    value = b"" if original.value is None and original.key is None else original.value
    try:
        published: RecordMetadata = await producer.send_and_wait(
            requests,
            value,
            key=original.key,
            partition=letter.partition if stays else None,
            headers=list(original_headers(original, letter.first_received_ms)),
        )
    except TOO_LARGE as error:
        raise NotRetriableError(
            f"its {letter.size:,} bytes are too large for {requests}: {error}"
        ) from error
    where = f"{published.topic}/{published.partition}@{published.offset}"
    await _record_resolution(producer, letter.name, RETRIED, where, topic)
    return published


async def discard(
    producer: AIOKafkaProducer, name: DeadLetterName, reason: str, *, topic: str = DEAD_LETTERS
) -> None:
    """Record that the request in a dead letter will not be published again, and why.

    Raises:
        aiokafka.errors.KafkaError: the broker is down.
    """
    await _record_resolution(producer, name, DISCARDED, reason, topic)


async def _record_resolution(
    producer: AIOKafkaProducer, name: DeadLetterName, outcome: str, reason: str, topic: str
) -> None:
    headers = list(resolution_headers(str(name), outcome, reason))
    await producer.send_and_wait(topic, b"", partition=name.partition, headers=headers)


async def _original(reader: TopicReader, letter: DeadLetter, topic: str) -> RawRecord:
    kept = await letter_record(reader, letter.name, topic)
    if kept is None:
        raise NotRetriableError(f"it is not in {topic} any more")
    if not letter.truncated:
        return kept
    where = f"{letter.topic}/{letter.partition}@{letter.offset}"
    place = TopicPartition(letter.topic, letter.partition)
    if place not in await partitions_of(reader, letter.topic):
        raise NotRetriableError(f"it holds only a beginning, and there is no {where}")
    original = await record_at(reader, place, letter.offset)
    if original is None:
        raise NotRetriableError(f"it holds only a beginning, and {where} is there no more")
    body = original.value or b""
    if (len(body), original.timestamp) != (letter.size, letter.timestamp_ms) or (
        not body.startswith(kept.value or b"")
    ):
        raise NotRetriableError(f"it holds only a beginning, and {where} is another record now")
    return original
