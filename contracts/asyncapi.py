"""The AsyncAPI 3 document of all topics, generated from the models. Payloads are our schemas."""

from collections.abc import Collection, Mapping

from contracts.channels import CHANNELS, EVENT_HEADERS, REQUEST_HEADERS, Channel
from contracts.codec import SCHEMA_VERSIONS, JsonObject, cloudevent_type, kebab
from contracts.events import EVENT_TYPES
from contracts.messages import SpeakerErasureRequested, SyncRequested
from contracts.topics import DEFAULT_PARTITIONS

VERSION = "0.1.0"
"""Of the contracts; raised when one of them gets more fields."""

_REQUESTS = {type_.__name__: type_ for type_ in (SyncRequested, SpeakerErasureRequested)}
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_JSON = "application/json"
_KAFKA_BINDING = "0.5.0"


def asyncapi() -> JsonObject:
    """Return the document; its references to `schemas/` are relative to it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "spreaview-sync",
            "version": VERSION,
            "description": "Imports Sessionize schedules into SpreaView. docs/contract.md explains "
            "the messages and the read models.",
        },
        "defaultContentType": _JSON,
        "channels": {channel.name: _channel(topic, channel) for topic, channel in CHANNELS.items()},
        "operations": {
            f"{channel.action}{channel.name[0].upper()}{channel.name[1:]}": {
                "action": channel.action,
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "summary": channel.description,
                "messages": [
                    {"$ref": f"#/channels/{channel.name}/messages/{name}"}
                    for name in channel.messages
                ],
            }
            for channel in CHANNELS.values()
        },
        "components": {
            "messages": {
                name: _message(name) for channel in CHANNELS.values() for name in channel.messages
            },
            "schemas": {"EventHeaders": _headers(EVENT_HEADERS, optional=REQUEST_HEADERS)},
        },
    }


def _channel(topic: str, channel: Channel) -> JsonObject:
    configuration: JsonObject = {"cleanup.policy": [channel.cleanup]}
    return {
        "address": topic,
        "description": f"{channel.description} Key: {channel.key}. Retention: {channel.retention}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": DEFAULT_PARTITIONS,
                "topicConfiguration": configuration,
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _message(name: str) -> JsonObject:
    if name in EVENT_TYPES:
        return {
            "name": cloudevent_type(name),
            "title": name,
            "summary": _first_line(EVENT_TYPES[name]),
            "contentType": _JSON,
            "headers": {"$ref": "#/components/schemas/EventHeaders"},
            "payload": _schema(f"{kebab(name)}.v{SCHEMA_VERSIONS[name]}"),
            "bindings": _key(),
        }
    if name in _REQUESTS:
        return {
            "name": name,
            "title": name,
            "summary": _first_line(_REQUESTS[name]),
            "contentType": _JSON,
            "payload": _schema(f"{kebab(name)}.v1"),
            "bindings": _key(),
        }
    summaries = {
        "DeadLetter": "A request as it was received.",
        "LogSeal": "The head of a stream: log_id, stream_id, version, hash, position, sealed_at.",
    }
    return {"name": name, "title": name, "summary": summaries[name], "bindings": _key()}


def _schema(name: str) -> JsonObject:
    return {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"schemas/{name}.json"}}


def _key() -> JsonObject:
    return {"kafka": {"key": {"type": "string"}, "bindingVersion": _KAFKA_BINDING}}


def _headers(headers: Mapping[str, str], optional: Collection[str]) -> JsonObject:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text} for name, text in headers.items()
        },
        "required": [name for name in headers if name not in optional],
    }


def _first_line(model: type) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]
