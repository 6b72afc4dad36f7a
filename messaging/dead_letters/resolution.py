"""Dealing with dead letters: publishing a request again, or recording why it never will be."""

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from contracts.topics import DEAD_LETTERS, SYNC_REQUESTS
from messaging.batch_consumer import RawRecord
from messaging.dead_letters.fold import DeadLetter, DeadLetterName, DeadLetters
from messaging.dead_letters.records import DISCARDED, RETRIED, original_headers, resolution_headers
from messaging.errors import TOO_LARGE
from messaging.topic_reader import TopicReader, partitions_of, record_at, to_the_end


class NotRetriableError(Exception):
    """Why the request in a letter cannot be published again; the letter stays as it was."""


async def read_letters(reader: TopicReader, topic: str = DEAD_LETTERS) -> DeadLetters:
    """All letters there are now, without their bodies; none where there is no topic yet.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    letters = DeadLetters()
    async for record in to_the_end(reader, await partitions_of(reader, topic)):
        letters.add(record)
    return letters


async def letter_record(
    reader: TopicReader, name: DeadLetterName, topic: str = DEAD_LETTERS
) -> "RawRecord | None":
    """The record of a letter, whole. Raises as `read_letters`."""
    return await record_at(reader, TopicPartition(topic, name.partition), name.offset)


async def retry(
    reader: TopicReader,
    producer: AIOKafkaProducer,
    letter: DeadLetter,
    *,
    topic: str = DEAD_LETTERS,
    requests: str = SYNC_REQUESTS,
) -> RecordMetadata:
    """Publish the request in a letter again as it was, then record that in the letter's partition.

    It goes to the partition it came from, where the order among its neighbours held, with the time
    it was first received. Cut off between the two steps, the letter is still open, and a second
    retry does no harm: what a request did already it does not do twice.

    Returns:
        Where the request stands now.

    Raises:
        NotRetriableError: the letter holds only a beginning and the original is gone, or the
            request is too large for its topic.
        aiokafka.errors.KafkaError: the broker is away.
    """
    original = await _original(reader, letter, topic)
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
    """Record that the request in a letter will not be published again, and why.

    Raises:
        aiokafka.errors.KafkaError: the broker is away.
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
