"""Comparing entities as SpreaView shows them.

Both sides are normalised by today's text rule first, so that a new version of this program, with
another rule, changes nothing that the document did not change.
"""

from collections.abc import Mapping

from contracts.events import Link, Room, Session, Speaker
from worker.rules.text import clean

_AS_SETS = frozenset({"speaker_ids"})
"""Compared without their order: a mere reordering is no change."""


def changed_fields(
    before: Room | Speaker | Session, after: Room | Speaker | Session
) -> tuple[str, ...]:
    """The fields in which two versions of an entity differ, in their order; empty if in none."""
    return tuple(
        name
        for name in after.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(after, name))
        and _shown(name, old) != _shown(name, new)
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, str):
        return by_todays_rule(value)
    if name in _AS_SETS and isinstance(value, tuple):
        return frozenset(value)
    if isinstance(value, tuple):
        return tuple(_shown_link(item) if isinstance(item, Link) else item for item in value)
    return value


def _shown_link(link: Link) -> Mapping[str, str]:
    return {
        "title": by_todays_rule(link.title),
        "url": by_todays_rule(link.url),
        "link_type": by_todays_rule(link.link_type),
    }


def by_todays_rule(text: str) -> str:
    """A text that an earlier version of this program wrote, as today's would have written it."""
    try:
        return clean(text)
    except ValueError:  # too long by today's rule: then it is compared as it is
        return text
