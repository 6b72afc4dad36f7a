"""Topics: the names of the items that a session refers to, each with the title of its category."""

from collections.abc import Iterable
from typing import NamedTuple

from contracts.events import SyncWarning, Topic
from worker.rules.document import Broken, Document, Element, SourceCategory, SourceItem, items_of
from worker.rules.ids import usable_id
from worker.rules.text import clean_field

MAX_TOPICS = 100
"""Topics of one session."""

MAX_TOPIC_BYTES = 1024
"""Longest title of a category, and longest name of an item, in UTF-8."""

_OF_SPEAKERS = "speaker"
_LONGEST_REASON = 200


class UnknownTopicsError(Exception):
    """A session refers to an item that may be in a category that cannot be read."""


class Topics(NamedTuple):
    """The topics that the categories of a document define."""

    by_item: dict[str, Topic | None]
    """By the id of the item; None for an item of a category of speakers, which is not a topic."""
    is_whole: bool
    """Whether all categories and items can be read, so that an unlisted item is in none."""
    warnings: tuple[SyncWarning, ...]
    """One for each category that cannot be read completely."""

    def named(self, items: Iterable[str]) -> tuple[Topic, ...]:
        """Return the topics of these items, in their order; unlisted items are left out.

        Raises:
            UnknownTopicsError: an item may be in a category that cannot be read.
            ValueError: there are more than `MAX_TOPICS`.
        """
        items = tuple(items)
        if not self.is_whole and not self.by_item.keys() >= set(items):
            raise UnknownTopicsError
        found = dict.fromkeys(topic for item in items if (topic := self.by_item.get(item)))
        if len(found) > MAX_TOPICS:
            raise ValueError(f"it has {len(found)} topics, more than {MAX_TOPICS}")
        return tuple(found)

    def unlisted(self, items: Iterable[str]) -> tuple[str, ...]:
        """Return the items that no category lists; none if a category cannot be read."""
        if not self.is_whole:
            return ()
        return tuple(item for item in items if item not in self.by_item)


def topics_of(document: Document) -> Topics:
    """Read the categories of a document.

    An item of several categories belongs to the first of them. Categories that cannot be read are
    worth a warning only if a session refers to an item.
    """
    if document.categories is None:
        used = any(isinstance(s, Element) and s.source.category_items for s in document.sessions)
        return Topics({}, is_whole=False, warnings=(_no_categories(),) if used else ())
    by_item: dict[str, Topic | None] = {}
    warnings: list[SyncWarning] = []
    for category in document.categories:
        if isinstance(category, Broken):
            warnings.append(_warning("A category", category.reason))
            continue
        found, problems = _read_category(category)
        for key, topic in found.items():
            by_item.setdefault(key, topic)
        if problems:
            name = usable_id(category.source.id) or "with an unusable id"
            warnings.append(_warning(f"The category {name}", "; ".join(problems)))
    return Topics(by_item, is_whole=not warnings, warnings=tuple(warnings))


def _read_category(
    category: Element[SourceCategory],
) -> tuple[dict[str, Topic | None], list[str]]:
    """Return the topics of a category, and the reason for each part that cannot be read."""
    source = category.source
    problems = [f"{name} ({why})" for name, why in category.unreadable.items()]
    is_of_speakers = (source.type or "").strip().lower() == _OF_SPEAKERS
    try:
        title = None if "title" in category.unreadable else _text("category", source.title)
    except ValueError as error:
        title = None
        problems.append(f"title ({error})")
    found: dict[str, Topic | None] = {}
    for item in items_of(source):
        key = None if isinstance(item, Broken) else usable_id(item.source.id)
        if isinstance(item, Broken) or key is None:
            reason = item.reason if isinstance(item, Broken) else "it is empty or too long"
            problems.append(f"the id of an item ({reason})")
        elif is_of_speakers:
            found.setdefault(key, None)
        elif title is not None:
            try:
                found.setdefault(key, Topic(category=title, topic=_name(item)))
            except ValueError as error:
                problems.append(f"the name of the item {key} ({error})")
    return found, [] if is_of_speakers and "items" not in category.unreadable else problems


def _name(item: Element[SourceItem]) -> str:
    if reason := item.unreadable.get("name"):
        raise ValueError(reason)
    if not (name := _text("topic", item.source.name)):
        raise ValueError("it has none")
    return name


def _text(field: str, text: str | None) -> str:
    if text is None:
        raise ValueError("it has none")
    cleaned = clean_field(field, text)
    if len(cleaned.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"it is longer than {MAX_TOPIC_BYTES} bytes")
    return cleaned


def _no_categories() -> SyncWarning:
    return SyncWarning(
        code="invalid_category",
        message="The categories cannot be read, or are missing: all topics stay as they were.",
    )


def _warning(what: str, reasons: str) -> SyncWarning:
    """A warning whose ids stay empty: they are ids of sessions, rooms or speakers."""
    return SyncWarning(
        code="invalid_category",
        message=f"{what} cannot be read completely: {reasons[:_LONGEST_REASON]}. Sessions whose "
        "topics depend on it keep their last topics.",
    )
