"""Events on a topic after a position of the log, found by reading partitions from their ends.

A broker without transactions keeps no committed position for the relay. Before the relay continues,
it therefore looks up which events of its last, unconfirmed batch have reached the topic.
"""

from collections.abc import Sequence

from aiokafka import TopicPartition

from messaging.batch_consumer import RawRecord
from messaging.connection import KafkaConnection
from messaging.topic_reader import TopicReader, open_topic_reader, partitions_of, to_the_end

_FIRST_LOOK, _LAST_LOOK = 1_000, 100_000
"""Records to read back from the end: the first attempt, and the most if no position is found."""


async def positions_beyond(
    kafka: KafkaConnection, topic: str, source: str, position: int
) -> frozenset[int]:
    """Return the positions after `position` whose events are on the topic already.

    Each partition is read back to its newest event of this `ce_source` at or before `position`:
    an earlier leader published everything before it, perhaps before a rewind.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    found: set[int] = set()
    async with open_topic_reader(kafka) as reader:
        partitions = await partitions_of(reader, topic)
        begins = await reader.consumer.beginning_offsets(partitions)
        # The sandbox's broker reports an end that is too low; records are read to the real end.
        ends = await reader.consumer.end_offsets(partitions)
        number = _FIRST_LOOK
        while partitions:
            starts = {tp: max(begins[tp], ends[tp] - number) for tp in partitions}
            tails = await _tails(reader, starts, source)
            for positions in tails.values():
                found.update(_after_the_last_at_or_before(position, positions))
            partitions = [
                tp
                for tp in partitions
                if number < _LAST_LOOK
                and starts[tp] > begins[tp]
                and all(one > position for one in tails[tp])
            ]
            number *= 10
    return frozenset(found)


async def _tails(
    reader: TopicReader, starts: dict[TopicPartition, int], source: str
) -> dict[TopicPartition, list[int]]:
    """Return the positions of the source's events from these offsets on, by partition, in order."""
    found: dict[TopicPartition, list[int]] = {tp: [] for tp in starts}
    async for record in to_the_end(reader, list(starts), starts=starts):
        if (position := _position_in(source, record)) is not None:
            found[TopicPartition(record.topic, record.partition)].append(position)
    return found


def _after_the_last_at_or_before(position: int, positions: Sequence[int]) -> Sequence[int]:
    known = [n for n, one in enumerate(positions) if one <= position]
    return positions[known[-1] + 1 :] if known else positions


def _position_in(source: str, record: RawRecord) -> int | None:
    headers = dict(record.headers)
    if headers.get("ce_source") != source.encode():
        return None
    text = headers.get("ce_position", b"")
    return int(text) if text.isdigit() else None
