"""Events on a topic after a position of the log, found by reading partitions from their ends.

A broker without transactions keeps no committed position for the relay. Before the relay continues,
it therefore looks up which events of its last, unconfirmed batch have reached the topic.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from aiokafka import TopicPartition

from messaging.connection import KafkaConnection
from messaging.raw_record import RawRecord
from messaging.topic_reader import TopicReader, open_topic_reader, partitions_of, to_the_end

_Place: TypeAlias = tuple[int, UUID]
"""Position and message id."""

_FIRST_LOOK, _LAST_LOOK = 1_000, 100_000
"""Records to read back from the end: the first attempt, and the most if no position is found."""


async def events_beyond(
    kafka: KafkaConnection, topic: str, source: str, position: int
) -> Mapping[int, UUID]:
    """Return the events after `position` that are on the topic already: message ids by position.

    Each partition is read back to its newest event of this `ce_source` at or before `position`:
    an earlier leader published everything before it, perhaps before a rewind.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    found: dict[int, UUID] = {}
    async with open_topic_reader(kafka) as reader:
        partitions = await partitions_of(reader, topic)
        begins = await reader.consumer.beginning_offsets(partitions)
        # The sandbox's broker reports an end that is too low; records are read to the real end.
        ends = await reader.consumer.end_offsets(partitions)
        number = _FIRST_LOOK
        while partitions:
            starts = {tp: max(begins[tp], ends[tp] - number) for tp in partitions}
            tails = await _tails(reader, starts, source)
            for places in tails.values():
                found.update(_after_the_last_at_or_before(position, places))
            partitions = [
                tp
                for tp in partitions
                if number < _LAST_LOOK
                and starts[tp] > begins[tp]
                and all(one > position for one, _ in tails[tp])
            ]
            number *= 10
    return found


async def _tails(
    reader: TopicReader, starts: dict[TopicPartition, int], source: str
) -> dict[TopicPartition, list[_Place]]:
    """Return the source's events from these offsets on, by partition, in order."""
    found: dict[TopicPartition, list[_Place]] = {tp: [] for tp in starts}
    async for record in to_the_end(reader, list(starts), starts=starts):
        if (place := _place_in(source, record)) is not None:
            found[TopicPartition(record.topic, record.partition)].append(place)
    return found


def _after_the_last_at_or_before(position: int, places: Sequence[_Place]) -> Sequence[_Place]:
    known = [n for n, (one, _) in enumerate(places) if one <= position]
    return places[known[-1] + 1 :] if known else places


def _place_in(source: str, record: RawRecord) -> _Place | None:
    headers = dict(record.headers)
    if headers.get("ce_source") != source.encode():
        return None
    try:
        return int(headers["ce_position"]), UUID(headers["ce_id"].decode())
    except (KeyError, ValueError):
        return None
