"""Series of real documents, and the changes between two of them, without the product's rules."""

from typing import Any, NamedTuple

SERIES = {
    # name: (first day, last day, time zone, most sessions removed by one document)
    "gab-linz-2020": ("2020-04-24", "2020-04-24", "Europe/Vienna", 18),
    "reactconf-2025": ("2025-10-07", "2025-10-08", "America/Los_Angeles", 1),
}
KINDS = {"sessions": "Session", "speakers": "Speaker", "rooms": "Room"}


class Changes(NamedTuple):
    """The changes of the entities of one kind."""

    imported: dict[str, tuple[str, frozenset[str]]]
    """By id: added, restored or updated, and the updated fields."""
    withdrawn: frozenset[str]


def changes_between(before: dict[str, Any], after: dict[str, Any], ever: set[str]) -> Changes:
    """Return the changes of one kind of entity; `ever` has the ids that were imported before."""
    imported: dict[str, tuple[str, frozenset[str]]] = {}
    for key, entity in after.items():
        if key not in before:
            imported[key] = ("restored" if key in ever else "added", frozenset())
        elif fields := _changed_fields(before[key], entity):
            imported[key] = ("updated", fields)
    return Changes(imported, frozenset(before.keys() - after.keys()))


def _changed_fields(before: dict[str, Any], after: dict[str, Any]) -> frozenset[str]:
    names = {"room": "room_id", "speakers": "speaker_ids"}

    def value(entity: dict[str, Any], field: str) -> object:
        if field == "topics":
            return {(topic["category"], topic["topic"]) for topic in entity[field]}
        return set(entity[field]) if field == "speakers" else entity[field]

    fields = after.keys() - {"is_reviewable"}  # follows from other fields
    return frozenset(names.get(f, f) for f in fields if value(before, f) != value(after, f))
