"""Comparing entities as SpreaView shows them.

Both sides are normalised by the current text rule first. So a new version of this program with
another text rule reports no change where the document has none.
"""

import msgspec

from contracts.events import Link, Room, Session, Speaker, Topic
from worker.rules.state import Skip
from worker.rules.text import clean_field

_AS_SETS = frozenset({"speaker_ids", "topics"})
"""Fields compared without their order: reordering them is not a change.

Null, an unknown value, equals the empty set."""


def changed_fields(
    before: Room | Speaker | Session, after: Room | Speaker | Session
) -> tuple[str, ...]:
    """Return the names of the fields that differ, in the order of the contract."""
    if before == after:
        return ()  # as for most entities of most syncs
    return tuple(
        name
        for name in after.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(after, name))
        and _shown(name, old) != _shown(name, new)
    )


def same_skip(skip: Skip, before: Skip) -> bool:
    """Compare all but the run and `was_imported`."""
    if by_todays_rule("title", skip.title) != by_todays_rule("title", before.title):
        return False
    return skip == msgspec.structs.replace(
        before, sync_id=skip.sync_id, was_imported=skip.was_imported, title=skip.title
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, str):
        return by_todays_rule(name, value)
    if name in _AS_SETS and (value is None or isinstance(value, tuple)):
        return frozenset(_shown_item(item) for item in value or ())
    if isinstance(value, tuple):
        return tuple(_shown_item(item) for item in value)
    return value


def _shown_item(item: object) -> object:
    """Return the texts of a link or a topic by today's rule, and any other item as it is."""
    if isinstance(item, Link | Topic):
        names = item.__struct_fields__
        return tuple(by_todays_rule(name, getattr(item, name)) for name in names)
    return item


def by_todays_rule(name: str, text: str) -> str:
    """Apply the current text rule to a field that an earlier version of this program stored."""
    try:
        return clean_field(name, text)
    except ValueError:  # longer than the current rule allows: compare it unchanged
        return text
