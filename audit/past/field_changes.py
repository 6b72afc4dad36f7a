"""Old and new values of the fields of an entity or an event."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

FieldChanges: TypeAlias = Mapping[str, tuple[object, object]]
"""Old and new value, by field."""


def changed_fields(before: Mapping[str, object], after: Mapping[str, object]) -> FieldChanges:
    """The fields of `before` that differ in `after`; a field missing in `after` counts as None."""
    return {
        name: (value, after.get(name)) for name, value in before.items() if value != after.get(name)
    }


def changes_to_json(
    changes: FieldChanges, old: str = "old", new: str = "new"
) -> dict[str, dict[str, object]]:
    """`{field: {old: …, new: …}}`, under these two names, as JSON values."""
    return {
        name: {old: msgspec.to_builtins(before), new: msgspec.to_builtins(after)}
        for name, (before, after) in changes.items()
    }
