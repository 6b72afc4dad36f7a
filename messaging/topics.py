"""Declares the topics explicitly: brokers and clients would create them with other settings."""

import logging
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from contracts.topics import (
    DEAD_LETTERS,
    ERASURE_REQUESTS,
    IMPORT_EVENTS,
    LOG_SEALS,
    SYNC_REQUESTS,
    TOPICS,
)
from messaging.admin import open_admin
from messaging.append_time import LOG_APPEND_TIME, use_append_time
from messaging.connection import PREFIX, KafkaAccessError, KafkaConnection

logger = logging.getLogger(__name__)

MANAGE_VARIABLE = f"{PREFIX}MANAGE_TOPICS"

_DAY_MS = 24 * 60 * 60 * 1000

_MAY_NOT_CREATE = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The rules of the import limit the size of events; the largest is an outcome with its report.
Dead letters have the same limit, so that most records fit together with our headers."""


def _configs(retention_days: int, erasure_days: int | None) -> dict[str, dict[str, str]]:
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
        ERASURE_REQUESTS: LOG_APPEND_TIME
        | {"retention.ms": "-1" if erasure_days is None else str(erasure_days * _DAY_MS)},
    }


class MissingTopicsError(KafkaAccessError):
    """Topics do not exist, or we may not see them, and this program must not create them."""

    def __init__(
        self, kafka: KafkaConnection, missing: Sequence[NewTopic], *, manage: bool = False
    ) -> None:
        them = "it" if len(missing) == 1 else "them"
        remedy = (
            f". Remedy: restart a worker or a projector, which creates {them}, or run"
            if manage
            else f", and {MANAGE_VARIABLE} is false. Remedy: create {them}"
        )
        super().__init__(
            f"Kafka at {kafka} does not have {_names(missing)}, or this user may not DESCRIBE "
            f"{them}{remedy}:\n{_create_commands(kafka, missing)}",
            MANAGE_VARIABLE,
        )


class MayNotCreateError(KafkaAccessError):
    """Topics do not exist, or we may not see them, and the broker does not let us create them."""

    def __init__(self, kafka: KafkaConnection, refused: Sequence[NewTopic]) -> None:
        user = "this user" if kafka.username is None else f"user {kafka.username!r}"
        them = "it" if len(refused) == 1 else "them"
        super().__init__(
            f"Kafka at {kafka} does not have {_names(refused)}, and {user} lacks the right CREATE "
            f"on {them}. Remedy: grant CREATE and DESCRIBE, or set {MANAGE_VARIABLE}=false and "
            f"have somebody with the right create {them}:\n{_create_commands(kafka, refused)}",
            MANAGE_VARIABLE,
        )


async def declare_topics(
    kafka: KafkaConnection,
    *,
    partitions: int,
    replication_factor: int,
    retention_days: int,
    erasure_days: int | None = None,
    manage: bool = True,
) -> None:
    """Create the topics that do not exist yet, and have the broker stamp the records of all.

    Nothing else is changed about existing topics, see `messaging.append_time.use_append_time`.

    Import events are kept for `retention_days`, erasure requests for `erasure_days` or forever: a
    restored backup needs the requests since it was made.

    Without `manage` nothing is created. A topic with another number of partitions is logged then:
    it works, but somebody has planned otherwise.

    Raises:
        MissingTopicsError: a topic does not exist, and `manage` is false.
        MayNotCreateError: a topic does not exist, and this user lacks the right to create it.
        aiokafka.errors.KafkaError: the broker does not answer, or refuses a topic.
    """
    wanted = our_topics(partitions, replication_factor, retention_days, erasure_days)
    await _declare(kafka, wanted, manage=manage)


async def check_topics(
    kafka: KafkaConnection,
    *,
    partitions: int,
    replication_factor: int,
    retention_days: int,
    erasure_days: int | None = None,
    manage: bool,
) -> None:
    """Return if all topics exist; nothing is created or changed.

    The arguments are for the remedy; `manage` is whether services create missing topics.

    Raises:
        MissingTopicsError: a topic does not exist.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    async with open_admin(kafka) as admin:
        existing = set(await admin.list_topics())
    wanted = our_topics(partitions, replication_factor, retention_days, erasure_days)
    if missing := [topic for topic in wanted if topic.name not in existing]:
        raise MissingTopicsError(kafka, missing, manage=manage)


def our_topics(
    partitions: int, replication_factor: int, retention_days: int, erasure_days: int | None
) -> list[NewTopic]:
    """Return our topics as they are declared."""
    return [
        NewTopic(name, partitions, replication_factor, topic_configs=configs)
        for name, configs in _configs(retention_days, erasure_days).items()
    ]


async def alter_topics(kafka: KafkaConnection) -> None:
    """Have the broker stamp the records of our topics, as far as they exist; create none.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    async with open_admin(kafka) as admin:
        existing = TOPICS.intersection(await admin.list_topics())
        await use_append_time(kafka, admin, sorted(existing))


async def declare_replay(
    kafka: KafkaConnection,
    topic: str,
    *,
    partitions: int,
    replication_factor: int,
    manage: bool = True,
) -> None:
    """Create a topic for a replay, unless it exists. Stamps and raises as `declare_topics`."""
    configs = LOG_APPEND_TIME | {"max.message.bytes": str(MAX_RECORD_BYTES)}
    wanted = NewTopic(topic, partitions, replication_factor, topic_configs=configs)
    await _declare(kafka, [wanted], manage=manage)


async def _declare(kafka: KafkaConnection, topics: Sequence[NewTopic], *, manage: bool) -> None:
    async with open_admin(kafka) as admin:
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        before = [topic for topic in topics if topic.name in existing]
        if not manage:
            await _check_partitions(admin, before)
            if missing:
                raise MissingTopicsError(kafka, missing)
            return
        if missing:
            await _create(kafka, admin, missing)
        # Last, since it logs refusals, and a service repeats the rest until it succeeds.
        await use_append_time(kafka, admin, [topic.name for topic in before])


async def _create(
    kafka: KafkaConnection, admin: AIOKafkaAdminClient, missing: Sequence[NewTopic]
) -> None:
    """Create topics. Raises `MayNotCreateError` for all that this user must not create."""
    answer = await admin.create_topics(missing)
    refused: set[str] = set()
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error in _MAY_NOT_CREATE:
            refused.add(name)
        elif code != 0 and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} could not be created")
        else:
            logger.info("topic %s is declared", name)
    if refused:
        raise MayNotCreateError(kafka, [topic for topic in missing if topic.name in refused])


async def _check_partitions(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    """Log the topics whose number of partitions is not the configured one."""
    if not topics:
        return
    wanted = {topic.name: topic.num_partitions for topic in topics}
    for described in await admin.describe_topics(list(wanted)):
        name, found = described["topic"], len(described["partitions"])
        if found != wanted[name]:
            logger.warning(
                "topic %s has %d partitions, and %sPARTITIONS is %d",
                name,
                found,
                PREFIX,
                wanted[name],
            )


def _names(topics: Sequence[NewTopic]) -> str:
    return ", ".join(topic.name for topic in topics)


def _create_commands(kafka: KafkaConnection, topics: Sequence[NewTopic]) -> str:
    """One line per topic."""
    return "\n".join(f"  {_create_command(kafka, topic)}" for topic in topics)


def _create_command(kafka: KafkaConnection, topic: NewTopic) -> str:
    configs = "".join(f" --config {name}={value}" for name, value in topic.topic_configs.items())
    return (
        f"kafka-topics.sh --bootstrap-server {kafka} --create --topic {topic.name} "
        f"--partitions {topic.num_partitions} --replication-factor {topic.replication_factor}"
        f"{configs}"
    )
