"""The difference between two moments: entity by entity, and as JSON Patch. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from audit.as_of.document_shape import Shape
from audit.past.entities import Fields
from projections.changes import Row

_KINDS = {"sessions": "session", "rooms": "room", "speakers": "speaker", "skipped": "skip"}
_SHOWN = frozenset({"scheduled", "imported"})
_AS_SETS = frozenset({"speakers"})
"""Compared without their order in words; the patch has their order."""


class EntityDifference(NamedTuple):
    """What is different about one entity."""

    kind: str
    """session, room, speaker or skip."""
    change: str
    """added, removed, withdrawn, restored, erased or updated. A skip is added, updated, removed."""
    sessionize_id: str
    name: str
    fields: Fields
    """Of what is in both: old and new, without the status."""


def differences(before: Shape, after: Shape) -> Iterator[EntityDifference]:
    """What is different, kind by kind, by id."""
    for kind in _KINDS:
        for key in sorted(before[kind].keys() | after[kind].keys()):
            old, new = before[kind].get(key), after[kind].get(key)
            told = _difference(_KINDS[kind], key, old, new)
            if told is not None:
                yield told


def _difference(kind: str, key: str, old: Row | None, new: Row | None) -> EntityDifference | None:
    row = new if new is not None else old
    if row is None or old == new:
        return None
    name = str(row.get("title") or row.get("full_name") or row.get("name") or "")
    if old is None or new is None:
        change = "removed" if new is None else "added"
        if new is not None and new.get("status") == "withdrawn":
            return None  # it came and went between
        return EntityDifference(kind, change, key, name, {})
    fields = {
        field: (old.get(field), new.get(field))
        for field in sorted(old.keys() | new.keys())
        if field != "status" and not _same(field, old.get(field), new.get(field))
    }
    change = _change(str(old.get("status")), str(new.get("status")))
    if change == "updated" and not fields:
        return None
    return EntityDifference(kind, change, key, name, fields)


def _change(old: str, new: str) -> str:
    if old == new:
        return "updated"
    return "restored" if new in _SHOWN else new


def _same(field: str, old: object, new: object) -> bool:
    if field in _AS_SETS and isinstance(old, list) and isinstance(new, list):
        return set(old) == set(new)
    return old == new


def json_patch(before: object, after: object, path: str = "") -> Iterator[dict[str, object]]:
    """RFC 6902: the operations that make `after` of `before`; lists are replaced whole."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        if before != after:
            yield {"op": "replace", "path": path, "value": after}
        return
    for key in sorted(before.keys() | after.keys()):
        at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in after:
            yield {"op": "remove", "path": at}
        elif key not in before:
            yield {"op": "add", "path": at, "value": after[key]}
        else:
            yield from json_patch(before[key], after[key], at)
