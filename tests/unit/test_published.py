"""The published schemas and golden examples match the models."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from contracts import publish, samples
from contracts.codec import PERSONAL_FIELDS, JsonObject, cloudevent_type, kebab
from contracts.events import EVENT_TYPES
from contracts.messages import (
    PERSONAL_SCHEMA,
    SpeakerErasureRequested,
    decode_erasure,
    decode_request,
)

DOCUMENTS = dict(publish.documents())
SAMPLES = {type(event).__name__: event for event in samples.EVENTS}
STALE = "is stale: run make contracts"
MARK = PERSONAL_SCHEMA["$comment"]
KEYWORDS = frozenset(
    {
        *("$schema", "$id", "$ref", "$defs", "$comment", "title", "description", "default"),
        *("type", "enum", "format", "properties", "required", "items", "anyOf"),
        *("minLength", "maxLength", "minimum", "prefixItems", "minItems", "maxItems"),
    }
)
"""Keywords of JSON Schema 2020-12: a strict validator refuses a schema with any other one."""
every_event = pytest.mark.parametrize("name", EVENT_TYPES)


def published(path: str) -> JsonObject:
    found: JsonObject = json.loads((publish.HERE / path).read_text("utf-8"))
    return found


def problems(schema: JsonObject, instance: object) -> list[str]:
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(instance)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_the_committed_files_match_the_models(path: Path) -> None:
    file = publish.HERE / path

    assert file.exists(), f"{path} {STALE}"
    assert file.read_text("utf-8") == publish.render(DOCUMENTS[path]), f"{path} {STALE}"


def test_no_other_file_is_committed() -> None:
    committed = {
        path.relative_to(publish.HERE)
        for folder in ("schemas", "examples")
        for path in (publish.HERE / folder).iterdir()
    }

    assert committed == set(DOCUMENTS) - {Path("asyncapi.json")}


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.parts[0] == "schemas"], ids=str)
def test_a_schema_is_a_json_schema(path: Path) -> None:
    Draft202012Validator.check_schema(published(str(path)))


def keywords(schema: object) -> Iterator[str]:
    """The keywords of a schema and of all schemas within it."""
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        yield keyword
        if keyword in ("properties", "$defs"):
            for inner in value.values():
                yield from keywords(inner)
        elif keyword == "items":
            yield from keywords(value)
        elif keyword == "anyOf":
            for inner in value:
                yield from keywords(inner)


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.parts[0] == "schemas"], ids=str)
def test_a_schema_has_no_keyword_that_a_strict_validator_refuses(path: Path) -> None:
    assert set(keywords(published(str(path)))) <= KEYWORDS


@every_event
def test_an_example_of_an_event_is_valid_and_read_by_todays_models(name: str) -> None:
    example = published(f"examples/{kebab(name)}.v1.json")

    assert example["type"] == cloudevent_type(name)
    assert problems(published(f"schemas/{kebab(name)}.v1.json"), example["data"]) == []
    assert msgspec.convert(example["data"], EVENT_TYPES[name]) == SAMPLES[name]


def test_the_example_of_a_request_is_valid_and_read_by_todays_models() -> None:
    example = published("examples/sync-requested.v1.json")

    assert problems(published("schemas/sync-requested.v1.json"), example) == []
    assert decode_request(json.dumps(example).encode()) == samples.REQUEST


@pytest.mark.parametrize("example", samples.ERASURES, ids=["by Sessionize's id", "by our id"])
def test_an_erasure_request_is_valid_and_read_by_todays_models(
    example: SpeakerErasureRequested,
) -> None:
    body = msgspec.json.encode(example)

    schema = published("schemas/speaker-erasure-requested.v1.json")
    assert problems(schema, json.loads(body)) == []
    assert decode_erasure(body) == example


@every_event
def test_a_schema_refuses_an_example_that_lacks_a_required_field(name: str) -> None:
    schema = published(f"schemas/{kebab(name)}.v1.json")
    data = published(f"examples/{kebab(name)}.v1.json")["data"]
    required = schema["required"]

    assert isinstance(data, dict)
    assert isinstance(required, list)
    for field in required:
        assert problems(schema, {k: v for k, v in data.items() if k != field}), field


@every_event
def test_a_schema_refuses_an_id_that_is_not_a_uuid(name: str) -> None:
    data = published(f"examples/{kebab(name)}.v1.json")["data"]

    assert isinstance(data, dict)
    assert problems(published(f"schemas/{kebab(name)}.v1.json"), data | {"sync_id": "42"})


@pytest.mark.parametrize("name", PERSONAL_FIELDS)
def test_personal_fields_are_marked_nullable_and_optional(name: str) -> None:
    schema = published(f"schemas/{kebab(name)}.v1.json")
    fields, required = schema["properties"], schema["required"]

    assert isinstance(fields, dict)
    assert isinstance(required, list)
    marked = {f for f, schema in fields.items() if schema.get("$comment") == MARK}
    assert marked == set(PERSONAL_FIELDS[name])
    for field in marked:
        assert {"type": "null"} in fields[field]["anyOf"]
        assert field not in required


def test_publishing_writes_every_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "HERE", tmp_path)

    assert publish.main() == 0
    written = {p.relative_to(tmp_path) for p in tmp_path.rglob("*.json")}
    assert written == set(DOCUMENTS)


def test_a_schema_that_would_break_its_readers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "HERE", tmp_path)
    publish.main()
    target = tmp_path / "schemas" / "room-imported.v1.json"
    schema = json.loads(target.read_text("utf-8"))
    schema["properties"]["floor"] = {"type": "integer"}
    target.write_text(json.dumps(schema), "utf-8")

    assert publish.main() == 1
    assert json.loads(target.read_text("utf-8")) == schema
    assert "floor is gone" in capsys.readouterr().err
