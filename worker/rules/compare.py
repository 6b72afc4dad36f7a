"""Comparing entities as SpreaView shows them.

Both sides are normalised by the current text rule first. So a new version of this program with
another text rule reports no change where the document has none.
"""

from collections.abc import Mapping

from contracts.events import Link, Room, Session, Speaker
from worker.rules.text import clean_field

_AS_SETS = frozenset({"speaker_ids"})
"""Fields compared without their order: reordering them is not a change."""


def changed_fields(
    before: Room | Speaker | Session, after: Room | Speaker | Session
) -> tuple[str, ...]:
    """Return the names of the fields that differ, in the order of the contract."""
    return tuple(
        name
        for name in after.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(after, name))
        and _shown(name, old) != _shown(name, new)
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, str):
        return by_todays_rule(name, value)
    if name in _AS_SETS and isinstance(value, tuple):
        return frozenset(value)
    if isinstance(value, tuple):
        return tuple(_shown_link(item) if isinstance(item, Link) else item for item in value)
    return value


def _shown_link(link: Link) -> Mapping[str, str]:
    return {name: by_todays_rule(name, getattr(link, name)) for name in Link.__struct_fields__}


def by_todays_rule(name: str, text: str) -> str:
    """Apply the current text rule to a field that an earlier version of this program stored."""
    try:
        return clean_field(name, text)
    except ValueError:  # longer than the current rule allows: compare it unchanged
        return text
