"""Where topics may only be checked, nothing is created, and the command for it is named."""

import asyncio
import logging

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from cli.connections import Addresses
from cli.services import Role, running
from cli.settings import Settings
from contracts.topics import (
    DEAD_LETTERS,
    ERASURE_REQUESTS,
    IMPORT_EVENTS,
    LOG_SEALS,
    SYNC_REQUESTS,
)
from messaging.connection import KafkaConnection
from messaging.topics import MissingTopicsError, declare_topics
from tests.support.processes import PATIENCE, environment, run

pytestmark = pytest.mark.asyncio

TOPICS = {SYNC_REQUESTS, IMPORT_EVENTS, DEAD_LETTERS, LOG_SEALS, ERASURE_REQUESTS}


async def declare(kafka: str, *, partitions: int = 2, manage: bool) -> None:
    await declare_topics(
        KafkaConnection(kafka),
        partitions=partitions,
        replication_factor=1,
        retention_days=1,
        manage=manage,
    )


async def existing(kafka: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if not name.startswith("__")}
    finally:
        await admin.close()


async def test_missing_topics_are_named_with_the_command_and_not_created(own_kafka: str) -> None:
    with pytest.raises(MissingTopicsError) as refused:
        await declare(own_kafka, manage=False)
    said = str(refused.value)
    assert (
        f"kafka-topics.sh --bootstrap-server {own_kafka} --create --topic {IMPORT_EVENTS} "
        "--partitions 2 --replication-factor 1 --config message.timestamp.type=LogAppendTime "
        "--config retention.ms=86400000 "
        "--config max.message.bytes=8388608"
    ) in said
    assert all(f"--topic {topic} " in said for topic in TOPICS)
    assert await existing(own_kafka) == set()


async def test_existing_topics_pass_and_another_number_of_partitions_is_logged(
    own_kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    await declare(own_kafka, manage=True)
    await declare(own_kafka, manage=False)
    assert "partitions" not in caplog.text
    await declare(own_kafka, partitions=5, manage=False)
    assert f"topic {SYNC_REQUESTS} has 2 partitions, and SPREAVIEW_KAFKA_PARTITIONS is 5" in (
        caplog.text
    )


async def test_a_service_waits_for_topics_that_it_must_not_create(
    own_kafka: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = Settings(kafka_manage_topics=False, kafka_partitions=2)
    at = Addresses(database_url, KafkaConnection(own_kafka), "http://127.0.0.1:1", False)
    is_ready = asyncio.Event()

    async def serve() -> None:
        async with running(Role.PROJECTOR, settings, at):
            is_ready.set()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while "kafka-topics.sh" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await existing(own_kafka) == set()
        await declare(own_kafka, manage=True)
        await asyncio.wait_for(is_ready.wait(), PATIENCE)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_replay_creates_no_topic_either(own_kafka: str, database_url: str) -> None:
    env = environment(
        database_url=database_url,
        kafka_bootstrap_servers=own_kafka,
        kafka_transactions="false",
        kafka_manage_topics="false",
    )
    words = ("replay", "--name", "x", "--to-topic", "spreaview.training")
    done = await asyncio.to_thread(run, *words, env=env)
    assert done.returncode == 1
    assert "--create --topic spreaview.training" in done.stderr
    assert await existing(own_kafka) == set()
