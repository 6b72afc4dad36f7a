"""Consumer groups as an operator sees them: their members, and the records that wait for them."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from messaging.access import explaining
from messaging.admin import naming_group
from messaging.closing import close_consumer
from messaging.connection import KafkaConnection
from messaging.raw_record import RawRecord
from messaging.topic_reader import TopicReader, partitions_of, to_the_end


class GroupState(NamedTuple):
    """A consumer group."""

    state: str
    """Kafka's word: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty` or `Dead`."""
    members: int

    @property
    def is_rebalancing(self) -> bool:
        """Whether no member receives records until the partitions are distributed."""
        return self.state.endswith("Rebalance")


async def group_state(admin: AIOKafkaAdminClient, group_id: str) -> GroupState:
    """Return the state of a group; without members if there is no such group.

    The sandbox's broker still counts members that have left.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer, or refuses.
    """
    found = GroupState("Dead", 0)
    with naming_group(group_id):
        answers = await admin.describe_consumer_groups([group_id])
    for answer in answers:
        for code, _, state, _, _, members, *_ in answer.groups:
            if code != 0:
                raise for_code(code)(group_id)
            found = GroupState(state, len(members))
    return found


async def records_waiting(
    kafka: KafkaConnection, reader: TopicReader, topic: str, group_id: str
) -> AsyncIterator[RawRecord]:
    """Yield the records of a topic that a group has not committed, in order per partition.

    The group is not joined. The records may have been processed already, but not committed yet.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    partitions = await partitions_of(reader, topic)
    starts = await _committed(kafka, partitions, group_id) if partitions else {}
    async for record in to_the_end(reader, partitions, starts=starts):
        yield record


async def _committed(
    kafka: KafkaConnection, partitions: list[TopicPartition], group_id: str
) -> dict[TopicPartition, int]:
    """The committed offsets; partitions without one are left out."""
    consumer = AIOKafkaConsumer(**kafka.arguments(), group_id=group_id, enable_auto_commit=False)
    try:
        async with explaining(kafka):
            await consumer.start()
        found = {partition: await consumer.committed(partition) for partition in partitions}
    finally:
        await close_consumer(consumer)
    return {partition: offset for partition, offset in found.items() if offset is not None}
