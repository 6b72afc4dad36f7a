"""Compatibility of a new schema with the one that it replaces."""

import json

import pytest
from jsonschema import Draft202012Validator

from contracts.codec import JsonObject
from contracts.compatibility import incompatibilities

TEXT: JsonObject = {"type": "string"}
NULL: JsonObject = {"type": "null"}
WINDOW: JsonObject = {"$ref": "#/$defs/Window"}
DEFINITION: JsonObject = {
    "type": "object",
    "properties": {"starts_on": {"type": "string", "format": "date"}, "zone": TEXT},
    "required": ["starts_on"],
}
SCHEMA: JsonObject = {
    "$id": "urn:example:v1",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Shown."},
        "sort": {"type": "integer", "minimum": 0},
        "change": {"enum": ["added", "updated"]},
        "tags": {"type": "array", "items": TEXT},
        "window": WINDOW,
        "windows": {"type": "array", "items": WINDOW},
        "note": {"anyOf": [TEXT, NULL], "default": None},
    },
    "required": ["name", "window"],
    "$defs": {"Window": DEFINITION},
}


def edited(path: str, value: object, schema: JsonObject = SCHEMA) -> JsonObject:
    """The schema with another value at a path with slashes."""
    schema = json.loads(json.dumps(schema))
    *parents, name = path.split("/")
    place = schema
    for parent in parents:
        inner = place[parent]
        assert isinstance(inner, dict)
        place = inner
    place[name] = value
    return schema


def without(path: str, name: str, schema: JsonObject = SCHEMA) -> JsonObject:
    """The schema without one of the fields at a path."""
    place: object = schema
    for parent in path.split("/"):
        assert isinstance(place, dict)
        place = place[parent]
    assert isinstance(place, dict)
    return edited(path, {key: value for key, value in place.items() if key != name}, schema)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(json.loads(json.dumps(SCHEMA)), id="the same"),
        pytest.param(edited("properties/floor", {"type": "integer"}), id="new optional field"),
        pytest.param(edited("$defs/Window/properties/ends_on", TEXT), id="new one inside"),
        pytest.param(edited("properties/name/description", "Other words."), id="description"),
        pytest.param(edited("title", "Room"), id="title"),
        pytest.param(edited("$id", "urn:example:v1.1"), id="id"),
        pytest.param(edited("properties/name/examples", ["Aula"]), id="examples"),
        pytest.param(
            edited("properties/window", {"$ref": "#/$defs/Days"})
            | {"$defs": {"Window": DEFINITION, "Days": DEFINITION}},
            id="renamed definition",
        ),
    ],
)
def test_additions_and_annotations_are_compatible(new: JsonObject) -> None:
    assert incompatibilities(SCHEMA, new) == []


@pytest.mark.parametrize(
    ("new", "problems"),
    [
        pytest.param(without("properties", "sort"), ["$.sort is gone"], id="removed"),
        pytest.param(
            without("$defs/Window/properties", "zone"),
            ["$.window.zone is gone", "$.windows[].zone is gone"],
            id="removed inside",
        ),
        pytest.param(
            edited("required", ["name", "window", "sort"]),
            ["$.sort is required now"],
            id="required now",
        ),
        pytest.param(
            edited("properties/floor", TEXT) | {"required": ["name", "window", "floor"]},
            ["$.floor is required now"],
            id="new and required",
        ),
        pytest.param(
            edited("properties/sort/type", "string"), ["$.sort has another type"], id="type"
        ),
        pytest.param(
            edited("properties/sort/minimum", 1), ["$.sort has another minimum"], id="narrowed"
        ),
        pytest.param(
            edited("properties/name/maxLength", 9), ["$.name has another maxLength"], id="limited"
        ),
        pytest.param(
            edited("properties/change/enum", ["added"]),
            ["$.change has another enum"],
            id="narrowed enum",
        ),
        pytest.param(
            edited("properties/tags/items/type", "integer"),
            ["$.tags[] has another type"],
            id="type of the items",
        ),
        pytest.param(
            edited("$defs/Window/properties/starts_on/format", "date-time"),
            ["$.window.starts_on has another format", "$.windows[].starts_on has another format"],
            id="format inside",
        ),
        pytest.param(
            edited("properties/note/anyOf", [TEXT]), ["$.note allows other types"], id="not null"
        ),
        pytest.param(
            edited("properties/note", TEXT),
            ["$.note allows other types", "$.note has another type"],
            id="not null, written otherwise",
        ),
    ],
)
def test_breaking_changes_are_named(new: JsonObject, problems: list[str]) -> None:
    assert incompatibilities(SCHEMA, new) == problems


def nullable(schema: JsonObject) -> JsonObject:
    """A schema with one field that has the given schema or is null."""
    return {
        "type": "object",
        "properties": {"field": {"anyOf": [schema, NULL]}},
        "$defs": {"Window": DEFINITION},
    }


NULLABLE_LIST = nullable({"type": "array", "items": WINDOW})


def test_a_field_removed_within_a_nullable_list_is_named() -> None:
    new = without("$defs/Window/properties", "zone", NULLABLE_LIST)

    assert incompatibilities(NULLABLE_LIST, new) != []


def test_a_new_optional_field_within_a_nullable_object_is_compatible() -> None:
    old = nullable(WINDOW)

    assert incompatibilities(old, edited("$defs/Window/properties/ends_on", TEXT, old)) == []


def test_making_a_required_field_optional_breaks_readers() -> None:
    new = edited("required", ["window"])
    nameless = {"window": {"starts_on": "2026-05-28"}}
    assert Draft202012Validator(new).is_valid(nameless)
    assert not Draft202012Validator(SCHEMA).is_valid(nameless)

    assert incompatibilities(SCHEMA, new) != []
