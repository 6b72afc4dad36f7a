"""`python -m contracts.publish`: write the JSON Schemas, golden examples and AsyncAPI document.

The files are committed, and a test fails when they are stale. A schema that would break its
readers is not written, because it needs a new version.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from contracts import events, identity, messages, samples
from contracts.asyncapi import asyncapi
from contracts.codec import (
    SCHEMA_VERSIONS,
    JsonObject,
    cloudevent_type,
    dataschema,
    kebab,
)
from contracts.compatibility import incompatibilities
from contracts.events import EVENT_TYPES
from contracts.field_texts import field_texts
from contracts.messages import SpeakerErasureRequested, SyncRequested

HERE = Path(__file__).parent

_MODELS: Mapping[str, type[Struct]] = {
    name: model
    for module in (events, messages)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, Struct)
}
"""The models by the names that the schemas give them."""


def documents() -> Iterator[tuple[Path, JsonObject]]:
    """Every published document, with its path below this package."""
    yield (
        Path("schemas/sync-requested.v1.json"),
        _schema(SyncRequested, "urn:spreaview:schema:sync-requested:v1"),
    )
    yield Path("examples/sync-requested.v1.json"), _builtins(samples.REQUEST)
    yield (
        Path("schemas/speaker-erasure-requested.v1.json"),
        _schema(SpeakerErasureRequested, "urn:spreaview:schema:speaker-erasure-requested:v1"),
    )
    yield Path("examples/speaker-erasure-requested.v1.json"), _builtins(samples.ERASURES[0])
    for name, event_type in EVENT_TYPES.items():
        file = f"{kebab(name)}.v{SCHEMA_VERSIONS[name]}.json"
        yield Path("schemas") / file, _schema(event_type, dataschema(name))
    for event in samples.EVENTS:
        name = type(event).__name__
        file = f"{kebab(name)}.v{SCHEMA_VERSIONS[name]}.json"
        yield Path("examples") / file, {"type": cloudevent_type(name), "data": _builtins(event)}
    yield Path("examples/identity.json"), _test_vectors()
    yield Path("asyncapi.json"), asyncapi()


def render(document: JsonObject) -> str:
    """The text of a published document."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _schema(model: type[Struct], schema_id: str) -> JsonObject:
    schema = msgspec.json.schema(model)
    definitions = schema["$defs"]
    for name, definition in definitions.items():
        _describe(definition, field_texts(_MODELS[name]))
    root = definitions.pop(schema["$ref"].rsplit("/", 1)[1])
    whole: JsonObject = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id,
        **root,
    }
    return whole | ({"$defs": definitions} if definitions else {})


def _describe(definition: dict[str, Any], texts: Mapping[str, str]) -> None:
    """Add the docstrings of fields whose annotation has no description."""
    for name, field in definition["properties"].items():
        if "description" not in field and name in texts:
            field["description"] = texts[name]


def _builtins(value: object) -> JsonObject:
    built: JsonObject = msgspec.to_builtins(value)
    return built


def _test_vectors() -> JsonObject:
    event, organization = samples.EVENT, samples.ORGANIZATION
    sessions = ("100001", "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "Ω≈ç√")
    return {
        "spreaview_event_id": str(event),
        "organization_id": str(organization),
        "sessions": [
            {
                "sessionize_id": key,
                "session_id": str(identity.session_id(event, key)),
                "session_code": identity.session_code(identity.session_id(event, key)),
            }
            for key in sessions
        ],
        "rooms": [
            {"sessionize_id": key, "room_id": str(identity.room_id(event, key))}
            for key in ("4711", "9007199254740993")
        ],
        "speakers": [
            {"sessionize_id": key, "speaker_id": str(identity.speaker_id(organization, key))}
            for key in (sessions[1], "FFFFFFFF-0000-4000-8000-000000000000")
        ],
        "messages": [
            {
                "sync_id": str(samples.SYNC),
                "ordinal": ordinal,
                "message_id": str(identity.message_id(samples.SYNC, ordinal)),
            }
            for ordinal in (0, 1, identity.OUTCOME)
        ],
    }


def main() -> int:
    """Write the files. Returns 1 if a schema would break its readers."""
    broken = False
    for path, document in documents():
        target = HERE / path
        if target.exists() and path.parts[0] == "schemas":
            problems = incompatibilities(json.loads(target.read_text("utf-8")), document)
            if problems:
                broken = True
                print(f"{path} would break its readers:", *problems, sep="\n  ", file=sys.stderr)
                print("  Remedy: a new schema version with an upcaster.", file=sys.stderr)
                continue
        target.parent.mkdir(exist_ok=True)
        target.write_text(render(document), "utf-8")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
