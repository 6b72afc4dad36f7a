"""The difference between two moments: entity by entity, and as JSON Patch. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from audit.as_of.document_shape import Shape
from audit.past.field_changes import FieldChanges, changes_to_json
from projections.changes import Row

_KINDS = {"sessions": "session", "rooms": "room", "speakers": "speaker", "skipped": "skip"}
_SHOWN = frozenset({"scheduled", "imported"})
_SET_FIELDS = frozenset({"speakers"})
"""Fields whose order does not count as a change of the entity; the JSON Patch keeps the order."""


class EntityDifference(NamedTuple):
    """The difference of one entity."""

    kind: str
    """session, room, speaker or skip."""
    change: str
    """added, removed, withdrawn, restored, erased or updated; of a skip added, updated, removed."""
    sessionize_id: str
    name: str
    fields: FieldChanges
    """Without the status; empty for an entity that only one of the moments has."""

    def to_json(self) -> dict[str, object]:
        """The difference as JSON values; `fields` is `{name: {old, new}}`."""
        return self._asdict() | {"fields": changes_to_json(self.fields)}


class Diff(NamedTuple):
    """The difference between the read models of two moments."""

    changes: list[EntityDifference]
    patch: list[dict[str, object]]
    """RFC 6902 operations that turn the first moment's shape into the second's."""

    def to_json(self) -> dict[str, object]:
        """The difference as JSON values."""
        return {
            "changes": [change.to_json() for change in self.changes],
            "totals": self.totals(),
            "patch": self.patch,
        }

    def totals(self) -> dict[str, dict[str, int]]:
        """The number of changes by kind and change; kinds without a change are left out."""
        counted: dict[str, dict[str, int]] = {}
        for change in self.changes:
            by_change = counted.setdefault(change.kind, {})
            by_change[change.change] = by_change.get(change.change, 0) + 1
        return counted


def diff(before: Shape, after: Shape) -> Diff:
    """Compare two moments."""
    return Diff(list(differences(before, after)), list(json_patch(before, after)))


def differences(before: Shape, after: Shape) -> Iterator[EntityDifference]:
    """The entities that differ, kind by kind, in the order of their Sessionize ids."""
    for kind in _KINDS:
        for key in sorted(before[kind].keys() | after[kind].keys()):
            old, new = before[kind].get(key), after[kind].get(key)
            difference = _difference(_KINDS[kind], key, old, new)
            if difference is not None:
                yield difference


def _difference(kind: str, key: str, old: Row | None, new: Row | None) -> EntityDifference | None:
    row = new if new is not None else old
    if row is None or old == new or not (_is_shown(old) or _is_shown(new)):
        return None
    name = str(row.get("title") or row.get("full_name") or row.get("name") or "")
    if old is None or new is None:
        change = "removed" if new is None else "added"
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


def _is_shown(row: Row | None) -> bool:
    """Whether a moment shows the entity: it may have come and gone again between two moments."""
    return row is not None and row.get("status") != "withdrawn"


def _change(old: str, new: str) -> str:
    if old == new:
        return "updated"
    return "restored" if new in _SHOWN else new


def _same(field: str, old: object, new: object) -> bool:
    if field in _SET_FIELDS and isinstance(old, list) and isinstance(new, list):
        return set(old) == set(new)
    if field == "topics":  # unknown topics equal none
        return _topics(old) == _topics(new)
    return old == new


def _topics(topics: object) -> set[tuple[object, ...]]:
    return {tuple(topic.values()) for topic in topics} if isinstance(topics, list) else set()


def json_patch(before: object, after: object, path: str = "") -> Iterator[dict[str, object]]:
    """The RFC 6902 operations that turn `before` into `after`; a changed list is replaced whole."""
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
