"""The whole line on a real Apache Kafka, with the clients of another library."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not re-exported by its name
    AdminClient,
    ConfigResource,
    ResourceType,
)
from jsonschema import Draft202012Validator

from cli.sandbox.conference import conference_window
from contracts.publish import HERE
from contracts.topics import DEFAULT_PARTITIONS, IMPORT_EVENTS, SYNC_REQUESTS
from tests.support.apache_kafka import own_broker
from tests.support.line import Line, the_line

pytestmark = pytest.mark.asyncio

READ_SECONDS = 30.0


@pytest_asyncio.fixture(scope="module")
async def line(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str
) -> AsyncIterator[Line]:
    async with (
        own_broker(tmp_path_factory.mktemp("kafka")) as broker,
        the_line(broker.address, module_database_url, transactions=True) as line,
    ):
        yield line


def publish_like_a_stranger(address: str, request: dict[str, object]) -> None:
    """Publish with confluent-kafka's defaults: another partitioner than ours, and no headers."""
    producer = Producer({"bootstrap.servers": address})
    producer.produce(
        SYNC_REQUESTS, key=str(request["spreaview_event_id"]), value=json.dumps(request)
    )
    assert producer.flush(READ_SECONDS) == 0


def read_like_a_stranger(address: str, key: str, number: int) -> list[KafkaMessage]:
    """Read the first `number` import events of one SpreaView event with librdkafka."""
    settings = {"bootstrap.servers": address, "group.id": str(uuid4())}
    with closing(Consumer(settings | {"isolation.level": "read_committed"})) as consumer:
        consumer.assign([TopicPartition(IMPORT_EVENTS, n, 0) for n in range(DEFAULT_PARTITIONS)])
        found: list[KafkaMessage] = []
        while len(found) < number:
            record = consumer.poll(READ_SECONDS)
            assert record is not None, f"{len(found)} of {number} events came"
            assert record.error() is None
            if record.key() == key.encode():
                headers: dict[str, Any] = dict(record.headers() or [])
                found.append(KafkaMessage(headers, record.key(), record.value() or b""))
        return found


async def test_a_request_of_another_client_is_imported_and_its_events_are_cloudevents(
    line: Line,
) -> None:
    window = conference_window()
    request: dict[str, Any] = {
        "request_id": str(uuid4()),
        "organization_id": str(uuid4()),
        "spreaview_event_id": str(uuid4()),
        "sessionize_api_id": "demo2026",
        "window": {
            "starts_on": window.starts_on.isoformat(),
            "ends_on": window.ends_on.isoformat(),
            "time_zone": window.time_zone,
        },
        "requested_at": "2026-05-20T10:00:00+02:00",
    }
    await asyncio.to_thread(
        publish_like_a_stranger, line.addresses.kafka.bootstrap_servers, request
    )
    run = await line.ended(UUID(request["request_id"]))
    assert run["status"] == "completed"

    event_id = UUID(request["spreaview_event_id"])
    recorded = [r async for r in line.log.read_stream(event_id)]
    messages = await asyncio.to_thread(
        read_like_a_stranger, line.addresses.kafka.bootstrap_servers, str(event_id), len(recorded)
    )
    source = f"urn:spreaview:log:{(await line.log.identity()).log_id}"
    schemas = _schemas()
    for message, stored in zip(messages, recorded, strict=True):
        event = from_binary_event(message, JSONFormat())
        assert event.get_id() == str(stored.message_id)
        assert event.get_source() == source
        assert event.get_time() == stored.recorded_at
        assert event.get_extension("position") == str(stored.position)
        assert event.get_extension("streamversion") == str(stored.version)
        data = event.get_data()
        schema = schemas[str(event.get_dataschema())]
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
            data
        )
        assert schema["title"] == stored.type
        assert data == stored.data


async def test_topics_are_declared_with_the_documented_settings(line: Line) -> None:
    admin = AdminClient({"bootstrap.servers": line.addresses.kafka.bootstrap_servers})
    expected = {
        SYNC_REQUESTS: ("message.timestamp.type", "LogAppendTime"),
        IMPORT_EVENTS: ("retention.ms", str(30 * 24 * 60 * 60 * 1000)),
        "spreaview.log-seals.v1": ("cleanup.policy", "compact"),
    }
    topics = admin.list_topics(timeout=READ_SECONDS).topics
    for topic, (name, value) in expected.items():
        assert len(topics[topic].partitions) == DEFAULT_PARTITIONS
        resource = ConfigResource(ResourceType.TOPIC, topic)
        configs = admin.describe_configs([resource])[resource].result(READ_SECONDS)
        assert configs[name].value == value


def _schemas() -> dict[str, dict[str, Any]]:
    schemas = [json.loads(p.read_text("utf-8")) for p in (HERE / "schemas").glob("*.json")]
    return {schema["$id"]: schema for schema in schemas}
