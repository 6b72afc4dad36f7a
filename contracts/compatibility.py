"""Checking that a new JSON Schema is compatible with the one that it replaces.

Adding an optional field is compatible. Removing a field, making it required or optional, and
changing or narrowing its type are not: they need a new schema version with an upcaster.
"""

from collections.abc import Iterator, Mapping

from contracts.codec import JsonObject

_ANNOTATIONS = frozenset(
    {"description", "title", "examples", "$comment", "x-personal", "$id", "$schema"}
)
"""`x-personal` marked personal fields until 0.1.0; strict validators refused it."""


def incompatibilities(old: JsonObject, new: JsonObject) -> list[str]:
    """The changes in `new` that break readers or documents of `old`, one sentence each."""
    return sorted(set(_compare(old, new, "$", _definitions(old), _definitions(new))))


def _definitions(schema: JsonObject) -> Mapping[str, object]:
    found = schema.get("$defs", {})
    return found if isinstance(found, dict) else {}


def _resolve(schema: object, definitions: Mapping[str, object]) -> JsonObject:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _resolve(definitions[reference.rsplit("/", 1)[1]], definitions)
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}


def _compare(
    old: object,
    new: object,
    path: str,
    old_definitions: Mapping[str, object],
    new_definitions: Mapping[str, object],
) -> Iterator[str]:
    old, new = _resolve(old, old_definitions), _resolve(new, new_definitions)
    definitions = (old_definitions, new_definitions)
    old_fields, new_fields = _properties(old), _properties(new)
    for name in old_fields.keys() - new_fields.keys():
        yield f"{path}.{name} is gone"
    for name in old_fields.keys() & new_fields.keys():
        yield from _compare(old_fields[name], new_fields[name], f"{path}.{name}", *definitions)
    for name in _names(new.get("required")) - _names(old.get("required")):
        yield f"{path}.{name} is required now"
    if "items" in old:
        yield from _compare(old["items"], new.get("items"), f"{path}[]", *definitions)
    for name in _names(old.get("required")) - _names(new.get("required")):
        if name in new_fields:
            yield f"{path}.{name} may be missing now"
    for alternatives in ("anyOf", "oneOf"):
        before, after = _list(old.get(alternatives)), _list(new.get(alternatives))
        if len(before) != len(after):
            yield f"{path} allows other types"
            continue
        for one, other in zip(before, after, strict=True):
            yield from _compare(one, other, path, *definitions)
    covered = {"properties", "required", "items", "anyOf", "oneOf", "$defs", "default"}
    for keyword in (old.keys() | new.keys()) - covered:
        if old.get(keyword) != new.get(keyword):
            yield f"{path} has another {keyword}"


def _properties(schema: JsonObject) -> Mapping[str, object]:
    found = schema.get("properties", {})
    return found if isinstance(found, dict) else {}


def _names(value: object) -> set[str]:
    return {str(name) for name in _list(value)}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
