"""Declares the topics explicitly: brokers and clients would create them with other settings."""

import logging
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from contracts.topics import DEAD_LETTERS, IMPORT_EVENTS, LOG_SEALS, SYNC_REQUESTS, TOPICS
from messaging.access import explaining
from messaging.append_time import LOG_APPEND_TIME, use_append_time
from messaging.connection import KafkaConnection

logger = logging.getLogger(__name__)

_DAY_MS = 24 * 60 * 60 * 1000

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The rules of the import limit the size of events; the largest is an outcome with its report.
Dead letters have the same limit, so that most records fit together with our headers."""


def _configs(retention_days: int) -> dict[str, dict[str, str]]:
    return {
        SYNC_REQUESTS: LOG_APPEND_TIME,
        IMPORT_EVENTS: LOG_APPEND_TIME
        | {
            "retention.ms": str(retention_days * _DAY_MS),
            "max.message.bytes": str(MAX_RECORD_BYTES),
        },
        DEAD_LETTERS: LOG_APPEND_TIME
        | {"retention.ms": "-1", "max.message.bytes": str(MAX_RECORD_BYTES)},
        LOG_SEALS: LOG_APPEND_TIME | {"cleanup.policy": "compact"},
    }


async def declare_topics(
    kafka: KafkaConnection, *, partitions: int, replication_factor: int, retention_days: int
) -> None:
    """Create the topics that do not exist yet, and have the broker stamp the records of all.

    Nothing else is changed about existing topics, see `messaging.append_time.use_append_time`.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer, or refuses a topic.
    """
    await _declare(
        kafka,
        [
            NewTopic(name, partitions, replication_factor, topic_configs=configs)
            for name, configs in _configs(retention_days).items()
        ],
    )


async def alter_topics(kafka: KafkaConnection) -> None:
    """Have the broker stamp the records of our topics, as far as they exist; create none.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    admin = AIOKafkaAdminClient(**kafka.arguments())
    try:
        async with explaining(kafka):
            await admin.start()
        existing = TOPICS.intersection(await admin.list_topics())
        await use_append_time(kafka, admin, sorted(existing))
    finally:
        await admin.close()


async def declare_replay(
    kafka: KafkaConnection, topic: str, *, partitions: int, replication_factor: int
) -> None:
    """Create a topic for a replay, unless it exists. Stamps and raises as `declare_topics`."""
    configs = LOG_APPEND_TIME | {"max.message.bytes": str(MAX_RECORD_BYTES)}
    wanted = NewTopic(topic, partitions, replication_factor, topic_configs=configs)
    await _declare(kafka, [wanted])


async def _declare(kafka: KafkaConnection, topics: Sequence[NewTopic]) -> None:
    admin = AIOKafkaAdminClient(**kafka.arguments())
    try:
        async with explaining(kafka):
            await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        before = [topic.name for topic in topics if topic.name in existing]
        await use_append_time(kafka, admin, before)
        if not missing:
            return
        answer = await admin.create_topics(missing)
        for name, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code != 0 and error is not TopicAlreadyExistsError:
                raise error(f"topic {name} could not be created")
            logger.info("topic %s is declared", name)
    finally:
        await admin.close()
