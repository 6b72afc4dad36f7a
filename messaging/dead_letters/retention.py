"""Retention of dead letters: delete the beginning of each partition that nobody needs any more.

Kafka deletes only from the beginning of a partition. So an open dead letter keeps every later
record of its partition.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from contracts.topics import DEAD_LETTERS
from messaging.dead_letters.fold import DeadLetter, DeadLetterName, DeadLetters
from messaging.raw_record import RawRecord
from messaging.topic_reader import TopicReader, known_partitions_of, to_the_end


class PrunedLetters(NamedTuple):
    """The records of the topic that may go, and the letters that stay."""

    ends: Mapping[TopicPartition, int]
    """Each partition with something to delete: the records before this offset may go."""
    records: int
    """The number of these records: dead letters, their copies and their resolutions."""
    kept: int
    kept_open: int
    """Open dead letters."""


async def plan_pruning(
    reader: TopicReader, before_ms: int, *, topic: str = DEAD_LETTERS
) -> PrunedLetters:
    """Find the records of letters that were resolved before a time; nothing is deleted.

    A letter with copies in several partitions stays: its resolution is in one of them only.

    Raises:
        UnknownTopicError: the topic does not exist, or is not shown to us.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    letters = DeadLetters()
    places: dict[TopicPartition, list[tuple[int, int]]] = {}
    async for record in to_the_end(reader, await known_partitions_of(reader, topic)):
        letters.add(record)
        place = TopicPartition(topic, record.partition)
        places.setdefault(place, []).append((record.offset, _stamp(record)))
    ends, gone, total = {}, 0, 0
    for place, records in places.items():
        number = _deletable(letters, place.partition, records, before_ms)
        total += len(records)
        gone += number
        if number:
            ends[place] = records[number - 1][0] + 1
    return PrunedLetters(ends, gone, total - gone, len(letters.open()))


async def prune_letters(reader: TopicReader, plan: PrunedLetters) -> None:
    """Delete the records of a plan. Repeating it is harmless: the ends do not move.

    Raises:
        aiokafka.errors.KafkaError: the broker cannot, or this user may not (DELETE on the topic).
    """
    if plan.ends:
        await reader.admin.delete_records(
            {place: RecordsToDelete(end) for place, end in plan.ends.items()}
        )


def _deletable(
    letters: DeadLetters, partition: int, records: Sequence[tuple[int, int]], before_ms: int
) -> int:
    """Return the number of records at the beginning of a partition that may be deleted.

    The copies of a letter stay together: without its oldest copy a resolution resolves nothing.
    """
    found = [letters.get(DeadLetterName(partition, offset)) for offset, _ in records]
    first: dict[DeadLetterName, int] = {}
    end = len(records)
    for number, ((_, stamp), letter) in enumerate(zip(records, found, strict=True)):
        if letter is not None:
            first.setdefault(letter.name, number)
        if stamp >= before_ms or (letter is not None and not _is_over(letter, before_ms)):
            end = min(end, number)
    for number in reversed(range(len(records))):
        letter = found[number]
        if number >= end and letter is not None:
            end = min(end, first[letter.name])
    return end


def _is_over(letter: DeadLetter, before_ms: int) -> bool:
    partitions = {name.partition for name in (letter.name, *letter.copies)}
    return (
        bool(letter.resolutions)
        and len(partitions) == 1
        and max(resolution.at_ms for resolution in letter.resolutions) < before_ms
    )


def _stamp(record: RawRecord) -> int:
    stamp: int = record.timestamp
    return stamp
