"""Checks of Kafka's topics and groups."""

from collections.abc import Sequence

from audit.erasure.consumer import GROUP as ERASURES
from cli.doctor.findings import Check, Result, Server, not_checked, ok, problem, warning
from cli.doctor.installation import Installation, wanted_topics
from cli.status.headings import CLOCKS, HEALTH, TOPICS
from contracts.wording import counted
from messaging.append_time import LOG_APPEND_TIME, alter_command, append_time_command
from messaging.connection import PREFIX
from messaging.groups import GroupState, group_state
from messaging.topic_facts import TopicFacts
from messaging.topic_reader import open_topic_reader
from messaging.topics import MissingTopicsError
from projections.projector import GROUP as PROJECTORS
from worker.sync.consumer import GROUP as WORKERS

_LIMITS = frozenset({"retention.ms", "max.message.bytes"})
_FOREVER = "-1"
_NO_CONFIGS = "this user may not DESCRIBE_CONFIGS of "
_SANDBOX = "the sandbox's broker has no such settings"


async def existence(installation: Installation) -> Sequence[Result]:
    """All topics exist, each with the configured number of partitions."""
    wanted, found = wanted_topics(installation.settings), await installation.topics()
    partitions = {topic.name: topic.partitions for topic in found}
    if missing := [topic for topic in wanted if topic.name not in partitions]:
        manage = installation.settings.kafka_manage_topics
        error = MissingTopicsError(installation.kafka, missing, manage=manage)
        sentence, _, remedy = str(error).partition("Remedy: ")
        return [problem(sentence.strip().removesuffix("."), remedy)]
    number = installation.settings.kafka_partitions
    return [
        warning(
            f"{name} has {counted(there, 'partition')}, and {PREFIX}PARTITIONS is {number}",
            f"set {PREFIX}PARTITIONS to {there}, or add partitions while nothing waits",
        )
        for name, there in partitions.items()
        if there != number
    ] or [ok(f"{counted(len(found), 'topic')} exist, each with {counted(number, 'partition')}")]


async def settings(installation: Installation) -> Sequence[Result]:
    """Retention, size limits and compaction of the topics are as this program declares them."""
    if await installation.is_sandbox():
        return [ok(_SANDBOX)]
    wanted = {topic.name: topic.topic_configs for topic in wanted_topics(installation.settings)}
    results: list[Result] = []
    for topic in await installation.topics():
        if topic.configs is None:
            return [not_checked(f"{_NO_CONFIGS}{topic.name}", is_hidden=True)]
        for name, value in wanted[topic.name].items():
            there = topic.configs.get(name)
            if there is not None and name not in LOG_APPEND_TIME and _is_less(name, there, value):
                command = alter_command(installation.kafka, topic.name, f"{name}={value}")
                sentence = f"{topic.name} has {name}={there}; {value} is configured"
                results.append(warning(sentence, command))
    return results or [ok("retention, size limits and compaction are as configured")]


async def stamps(installation: Installation) -> Sequence[Result]:
    """The broker stamps the records, so no process needs a right clock."""
    if await installation.is_sandbox():
        return [ok("the sandbox's broker keeps the producers' time stamps and accepts all")]
    found = await installation.topics()
    if hidden := [topic.name for topic in found if topic.configs is None]:
        return [not_checked(f"{_NO_CONFIGS}{hidden[0]}", is_hidden=True)]
    return [
        problem(
            f"{topic.name} keeps the producers' time stamps: Kafka refuses the records of a "
            "process whose clock is an hour ahead",
            append_time_command(installation.kafka, topic.name),
        )
        for topic in found
        if not LOG_APPEND_TIME.items() <= (topic.configs or {}).items()
    ] or [ok("the broker stamps the records of all topics")]


async def replication(installation: Installation) -> Sequence[Result]:
    """Every partition has the configured number of replicas, and all are in sync."""
    number = installation.settings.kafka_replication_factor
    results: list[Result] = []
    for topic in await installation.topics():
        results += _replication_of(topic, number)
    return results or [ok("every partition has all its replicas in sync")]


def _replication_of(topic: TopicFacts, number: int) -> list[Result]:
    if topic.in_sync == 0 and topic.partitions:
        return [problem(f"a partition of {topic.name} has no replica in sync", "start its broker")]
    if topic.behind:
        partitions = counted(topic.behind, "partition")
        sentence = f"{partitions} of {topic.name} lack a replica in sync"
        return [warning(sentence, "look at the brokers of the cluster")]
    if topic.replicas < number:
        replicas = counted(topic.replicas, "replica")
        sentence = f"{topic.name} has {replicas}, and {PREFIX}REPLICATION_FACTOR is {number}"
        return [warning(sentence, "add replicas with kafka-reassign-partitions.sh")]
    return []


async def groups(installation: Installation) -> Sequence[Result]:
    """No consumer group distributes its partitions for long, and none is alone without the other.

    Whether a group without members is a fault depends on what waits: the checks of the requests and
    of the read models report that.
    """
    if await installation.is_sandbox():
        return [ok("the sandbox's broker still counts members that have left")]
    async with open_topic_reader(installation.kafka) as reader:
        states: dict[str, GroupState] = {}
        for group in (WORKERS, ERASURES, PROJECTORS):
            states[group] = await group_state(reader.admin, group)
    results = [
        warning(f"the group {group} is distributing its partitions", "run this again in a minute")
        for group, state in states.items()
        if state.is_rebalancing
    ]
    if not results and (states[WORKERS].members > 0) != (states[ERASURES].members > 0):
        results.append(
            problem(
                f"of the groups {WORKERS} and {ERASURES} only one has a member: a worker joins "
                "both",
                "restart the worker, and look at its ACLs on both groups",
            )
        )
    members = ", ".join(f"{group} {state.members}" for group, state in states.items())
    return results or [ok(f"members: {members}")]


def _is_less(name: str, there: str, wanted: str) -> bool:
    """Whether a topic gives less than is configured; more does no harm."""
    if name not in _LIMITS:
        return wanted not in there.split(",")
    if there == _FOREVER and name == "retention.ms":
        return False
    return wanted == _FOREVER or int(there) < int(wanted)


_KAFKA = (Server.KAFKA,)

CHECKS = (
    Check("topics", TOPICS, existence, _KAFKA, failures=("a topic is missing",)),
    Check("settings of topics", TOPICS, settings, _KAFKA),
    Check("time stamps", CLOCKS, stamps, _KAFKA),
    Check("replication", TOPICS, replication, _KAFKA),
    Check("groups", HEALTH, groups, _KAFKA),
)
