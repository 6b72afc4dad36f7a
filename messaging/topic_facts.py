"""Facts about our topics, for the diagnosis; everything is only read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from messaging.admin import open_admin
from messaging.connection import KafkaConnection
from messaging.topic_reader import open_topic_reader, partitions_of, to_the_end

_TAIL = 5
"""Records to read back from the end of a partition: the last places may hold markers of
transactions."""
_LOG_APPEND_TIME = 1


class TopicFacts(NamedTuple):
    """A topic that exists and that this user may see."""

    name: str
    partitions: int
    replicas: int
    """The fewest replicas of a partition."""
    in_sync: int
    """The fewest replicas of a partition that are in sync."""
    behind: int
    """Partitions with a replica that is not in sync."""
    configs: Mapping[str, str] | None
    """Its settings; None if this user may not read them."""


class Stamp(NamedTuple):
    """A record that the broker has stamped."""

    stamped: datetime
    """By the broker's clock."""
    recorded: datetime
    """By the database's clock, before the record was published."""


async def topic_facts(kafka: KafkaConnection, wanted: Sequence[NewTopic]) -> list[TopicFacts]:
    """Describe the wanted topics that exist.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    async with open_admin(kafka) as admin:
        existing = set(await admin.list_topics())
        names = [topic.name for topic in wanted if topic.name in existing]
        described = await admin.describe_topics(names) if names else []
        return [_facts(topic, await _configs(admin, topic["topic"])) for topic in described]


async def newest_stamps(kafka: KafkaConnection, topic: str) -> list[Stamp]:
    """Return the newest record of each partition that the broker has stamped.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    newest: dict[int, Stamp] = {}
    async with open_topic_reader(kafka) as reader:
        partitions = await partitions_of(reader, topic)
        begins = await reader.consumer.beginning_offsets(partitions)
        ends = await reader.consumer.end_offsets(partitions)
        starts = {tp: max(begins[tp], ends[tp] - _TAIL) for tp in partitions}
        async for record in to_the_end(reader, partitions, starts=starts):
            recorded = dict(record.headers).get("ce_time")
            if record.timestamp_type != _LOG_APPEND_TIME or recorded is None:
                continue
            stamped = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            newest[record.partition] = Stamp(stamped, datetime.fromisoformat(recorded.decode()))
    return list(newest.values())


def _facts(described: Mapping[str, Any], configs: Mapping[str, str] | None) -> TopicFacts:
    partitions = described["partitions"]
    replicas = [len(partition["replicas"]) for partition in partitions]
    in_sync = [len(partition["isr"]) for partition in partitions]
    return TopicFacts(
        name=str(described["topic"]),
        partitions=len(partitions),
        replicas=min(replicas, default=0),
        in_sync=min(in_sync, default=0),
        behind=sum(there < all_ for there, all_ in zip(in_sync, replicas, strict=True)),
        configs=configs,
    )


async def _configs(admin: AIOKafkaAdminClient, topic: str) -> Mapping[str, str] | None:
    # All settings are asked for: the sandbox's broker cannot be asked for one of them.
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, None)]
        )
        (described,) = answers[0].resources
        code, message, _, _, entries = described
        if code != 0:
            raise for_code(code)(message or "")
    except KafkaError as error:
        if error.retriable:
            raise
        return None
    return {name: value for name, value, *_ in entries}
