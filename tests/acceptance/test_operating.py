"""The log lines and the health of a process, while things go wrong."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from cli.sandbox.conference import conference_window
from contracts.topics import SYNC_REQUESTS
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from tests.support.apache_kafka import own_broker
from tests.support.line import a_request
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.services import service

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()


async def test_the_log_of_a_worker_has_fields(
    own_kafka: str, database_url: str, tmp_path: Path
) -> None:
    request = a_request("demo2026", WINDOW)
    settings = {"database_url": database_url, "kafka_bootstrap_servers": own_kafka}
    with service("worker", tmp_path, **settings) as worker:
        await worker.line(event="WORKER: ready")
        async with producing(KafkaConnection(own_kafka)) as producer:
            await publish_request(producer, request)
            sent = await producer.send_and_wait(SYNC_REQUESTS, b"not JSON", key=b"poison")
        failed = await worker.line(sync_id=str(request.request_id))
        assert failed["spreaview_event_id"] == str(request.spreaview_event_id)
        assert failed["organization_id"] == str(request.organization_id)
        assert failed["code"] == "upstream_unavailable"
        letter = await worker.line(topic=SYNC_REQUESTS)
        assert (letter["partition"], letter["offset"]) == (sent.partition, sent.offset)
        assert "is now a dead letter: " in letter["event"]
        assert "JSON" in letter["reason"]
        assert (await worker.line(position=0))["event"] == "relay: leading from position 0"
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, PATIENCE) == 0
        assert (await worker.line(signal="SIGTERM"))["event"] == "SIGTERM: stopping"
        assert worker.lines()[-1]["event"] == "stopped"


async def test_a_service_that_waits_for_a_topic_names_it_and_the_remedy_once(
    own_kafka: str, database_url: str, tmp_path: Path
) -> None:
    """Kafka itself answers all the time: that is no reason to report that it works again."""
    settings = {
        "database_url": database_url,
        "kafka_bootstrap_servers": own_kafka,
        "kafka_manage_topics": "false",
    }
    with service("worker", tmp_path, **settings) as worker:
        body = await worker.ready(SYNC_REQUESTS)
        detail = body["components"]["start"]["detail"]
        assert detail.startswith(f"waits for Kafka: Kafka at {own_kafka} does not have ")
        assert f"kafka-topics.sh --bootstrap-server {own_kafka} --create --topic" in detail
        assert body["ok"] is False
        await worker.ready("", "Kafka")
        await asyncio.sleep(3)  # many looks of the health check, and several tries
        states = [line for line in worker.lines() if line.get("component") == "Kafka"]
        assert [line["level"] for line in states] == ["warning"]
        assert SYNC_REQUESTS in states[0]["reason"]

        await declare_topics(
            KafkaConnection(own_kafka), partitions=2, replication_factor=1, retention_days=1
        )
        await worker.line(event="Kafka works again")
        await worker.line(event="WORKER: ready")
        assert [line["event"] for line in worker.lines() if "Kafka" in line["event"]][1:] == [
            "Kafka works again"
        ]


@pytest.mark.parametrize("role", ["worker", "projector"])
async def test_the_health_names_what_a_starting_service_waits_for(
    own_kafka: str, postgres_url: str, tmp_path: Path, role: str
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    server, _, _ = postgres_url.rpartition("/")
    absent = {
        f"postgresql://postgres@{nowhere}/x": "waits for PostgreSQL: the connection was refused",
        f"{server}/postgres": "waits for PostgreSQL: the database is not migrated; run: "
        "spreaview-sync migrate",
    }
    for url, detail in absent.items():
        settings = {"database_url": url, "kafka_bootstrap_servers": own_kafka}
        with service(role, tmp_path, **settings) as waiting:
            assert await waiting.ready(detail)
    settings = {"database_url": postgres_url, "kafka_bootstrap_servers": nowhere}
    with service(role, tmp_path, **settings) as waiting:
        expected = f"Kafka at {nowhere} does not answer: the connection was refused"
        await waiting.ready(f"waits for Kafka: {expected}")
        body = await waiting.ready(expected, "Kafka")
        assert body["ok"] is False


async def test_a_topic_that_is_deleted_is_named_by_the_health(
    database_url: str, tmp_path: Path
) -> None:
    async with own_broker(tmp_path) as broker:
        settings = {
            "database_url": database_url,
            "kafka_bootstrap_servers": broker.address,
            "kafka_session_seconds": "6",
            "kafka_manage_topics": "true",
        }
        with service("worker", tmp_path, **settings) as worker:
            await worker.line(event="WORKER: ready")
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
            await admin.start()
            await admin.delete_topics([SYNC_REQUESTS])
            await admin.close()
            body = await worker.ready(SYNC_REQUESTS, "Kafka")
            detail = body["components"]["Kafka"]["detail"]
            assert f"does not have {SYNC_REQUESTS}" in detail
            assert "Remedy: restart a worker or a projector, which creates it, or run:" in detail
            assert "TimeoutError" not in json.dumps(body)
