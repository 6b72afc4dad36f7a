"""The AsyncAPI document: each reference leads somewhere, and each topic and message is in it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts import publish, samples
from contracts.channels import CHANNELS, EVENT_HEADERS, REQUEST_HEADERS
from contracts.codec import cloudevent_type, dataschema
from contracts.events import EVENT_TYPES
from contracts.topics import TOPICS
from messaging.cloudevents import encode

DOCUMENT: dict[str, Any] = json.loads((publish.HERE / "asyncapi.json").read_text("utf-8"))
ID = UUID(int=7)


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_it_has_the_parts_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert {"channel", "messages"} <= operation.keys()
    for channel in DOCUMENT["channels"].values():
        assert {"address", "messages"} <= channel.keys()


def test_each_reference_leads_to_a_part_or_to_a_schema() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("#/"):
            part: Any = DOCUMENT
            for name in reference.removeprefix("#/").split("/"):
                part = part[name]
            assert part
        else:
            assert (publish.HERE / reference).is_file(), reference


def test_every_topic_is_a_channel_with_an_operation() -> None:
    channels = DOCUMENT["channels"]
    used = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}

    assert {channel["address"] for channel in channels.values()} == TOPICS == CHANNELS.keys()
    assert used == {f"#/channels/{name}" for name in channels}


def test_every_event_is_a_message_with_its_own_schema() -> None:
    messages = DOCUMENT["components"]["messages"]

    for name in EVENT_TYPES:
        path = messages[name]["payload"]["schema"]["$ref"]
        schema = json.loads((publish.HERE / path).read_text("utf-8"))
        assert (messages[name]["name"], schema["$id"]) == (cloudevent_type(name), dataschema(name))


def test_the_headers_are_those_of_a_record() -> None:
    event = samples.EVENTS[-1]
    record = encode(
        log_id=ID,
        stream_id=ID,
        message_id=ID,
        event_type="SyncStarted",
        recorded_at=datetime.now(UTC),
        position=1,
        version=1,
        metadata={"traceparent": "00-0-0-01"},
        data={"sync_id": str(event.sync_id)},
    )
    headers = DOCUMENT["components"]["schemas"]["EventHeaders"]

    assert [name for name, _ in record.headers] == list(EVENT_HEADERS)
    assert headers["required"] == [n for n in EVENT_HEADERS if n not in REQUEST_HEADERS]
