"""Parsing `view/All`: tolerant of single broken elements, strict about the shape of a schedule.

Sessionize defines the shape; keys that the import does not need are ignored.
"""

import json
import re
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from worker.rules import sync_failures

MOST_ELEMENTS = 50_000
"""Sessions, speakers or rooms of a document: ten times the largest known conference."""

MOST_SEPARATORS = 2_000_000
"""Commas in a document: limits the cost of parsing before the elements are counted."""

_MOST_DIGITS = 1000

_BOM = b"\xef\xbb\xbf"

Id = str | int


class SourceSession(Struct, rename="camel", frozen=True):
    """`sessions[]`."""

    id: Id
    title: str | None = None
    description: str | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    is_service_session: bool | None = None
    is_plenum_session: bool | None = None
    speakers: tuple[Id, ...] | None = None
    room_id: Id | None = None
    live_url: str | None = None
    recording_url: str | None = None
    status: str | None = None
    category_items: tuple[Id, ...] | None = None


class SourceLink(Struct, rename="camel", frozen=True):
    """`speakers[].links[]`."""

    title: str | None = None
    url: str | None = None
    link_type: str | None = None


class SourceSpeaker(Struct, rename="camel", frozen=True):
    """`speakers[]`."""

    id: Id
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    bio: str | None = None
    tag_line: str | None = None
    profile_picture: str | None = None
    is_top_speaker: bool | None = None
    links: tuple[SourceLink, ...] | None = None


class SourceRoom(Struct, rename="camel", frozen=True):
    """`rooms[]`."""

    id: Id
    name: str | None = None
    sort: int | None = None


class SourceItem(Struct, rename="camel", frozen=True):
    """`categories[].items[]`."""

    id: Id
    name: str | None = None


class SourceCategory(Struct, rename="camel", frozen=True):
    """`categories[]`."""

    id: Id
    title: str | None = None
    type: str | None = None
    items: list[Any] | None = None
    """As they were decoded: one broken item must not cost the others."""


T = TypeVar("T", SourceSession, SourceSpeaker, SourceRoom, SourceItem, SourceCategory)


class Element(NamedTuple, Generic[T]):
    """An element with a readable id, and the reason for each field that cannot be read."""

    source: T
    """Fields that cannot be read are null."""
    unreadable: dict[str, str]
    """By the name of the attribute."""


class Broken(NamedTuple):
    """An element without a readable id, and the reason."""

    reason: str


class Document(NamedTuple):
    """A schedule as Sessionize wrote it, in its order."""

    sessions: tuple[Element[SourceSession] | Broken, ...]
    speakers: tuple[Element[SourceSpeaker] | Broken, ...]
    rooms: tuple[Element[SourceRoom] | Broken, ...]
    categories: tuple[Element[SourceCategory] | Broken, ...] | None = None
    """None if the document has none, or if they are not a list."""


class _Lists(Struct):
    sessions: list[msgspec.Raw]
    speakers: list[msgspec.Raw]
    rooms: list[msgspec.Raw]
    categories: msgspec.Raw = msgspec.Raw(b"null")


_LISTS = ("sessions", "speakers", "rooms")
"""The lists without which a document is not a schedule."""


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SURROGATES = re.compile("[\ud800-\udfff]+")
_UNDECODED = "\ufdd0"
"""A noncharacter that stands for bytes that are not UTF-8 while an element is read."""

_lists = msgspec.json.Decoder(_Lists)
_raws = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_session = msgspec.json.Decoder(SourceSession)
_speaker = msgspec.json.Decoder(SourceSpeaker)
_room = msgspec.json.Decoder(SourceRoom)
_category = msgspec.json.Decoder(SourceCategory)
_item = msgspec.json.Decoder(SourceItem)


def parse_document(body: bytes, status: int = 200) -> Document:
    """Parse the body of an answer, whatever its content type.

    Raises:
        SyncFailure: `endpoint_not_json` if it is not JSON, `unexpected_document` if it is cut off
            or not a schedule.
    """
    body = body.removeprefix(_BOM)
    if body.lstrip()[:1] not in (b"{", b"["):
        raise _not_an_object(body, status)
    if body.count(b",") > MOST_SEPARATORS:
        raise sync_failures.unexpected_document("it lists far more than a conference has", status)
    try:
        lists = _open(body)
    except msgspec.ValidationError as error:
        raise sync_failures.unexpected_document(str(error), status) from error
    except _UNREADABLE as error:
        reason = f"it is cut off or damaged ({error})"
        raise sync_failures.unexpected_document(reason, status) from error
    for name in _LISTS:
        number = len(getattr(lists, name))
        if number > MOST_ELEMENTS:
            raise sync_failures.unexpected_document(f"it lists {number:,} {name}", status)
    return Document(
        sessions=tuple(_element(found, _session) for found in lists.sessions),
        speakers=tuple(_element(found, _speaker) for found in lists.speakers),
        rooms=tuple(_element(found, _room) for found in lists.rooms),
        categories=None
        if lists.categories is None
        else tuple(_element(found, _category) for found in lists.categories),
    )


def items_of(category: SourceCategory) -> list[Element[SourceItem] | Broken]:
    """Parse the items of a category."""
    return [_element(found, _item) for found in category.items or ()]


class _Opened(NamedTuple):
    """The lists of a document; their elements are `msgspec.Raw` or decoded JSON."""

    sessions: list[object]
    speakers: list[object]
    rooms: list[object]
    categories: list[object] | None


def _open(body: bytes) -> _Opened:
    """Parse the lists; their elements stay `msgspec.Raw` unless a text is damaged.

    A lone surrogate is invalid JSON, but some writers leave one where they cut a text. It must not
    invalidate the whole document, so such a document is read by a more tolerant parser.
    """
    try:
        lists = _lists.decode(body)
        return _Opened(
            [*lists.sessions], [*lists.speakers], [*lists.rooms], _raw_list(lists.categories)
        )
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if b"\\ud" not in body.lower():
            raise
        try:
            loose = _loosely(body)
        except (ValueError, RecursionError):
            raise error from None
        categories = loose.get("categories") if isinstance(loose, dict) else None
        return _Opened(
            _list(loose, "sessions"),
            _list(loose, "speakers"),
            _list(loose, "rooms"),
            categories if isinstance(categories, list) else None,
        )


def _raw_list(found: msgspec.Raw) -> list[object] | None:
    """Split a list that is not required into elements; None if it is not a list."""
    try:
        return [*_elements.decode(found)]
    except _UNREADABLE:
        return None


def _loosely(body: bytes) -> object:
    """Decode JSON; lone surrogates stay, and bytes that are not UTF-8 become `_UNDECODED`."""
    text = _NOT_UTF8.sub(_UNDECODED, body.decode("utf-8", "surrogateescape"))
    return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    """No field takes a number of thousands of digits, and Python refuses to parse one."""
    return int(digits) if len(digits) < _MOST_DIGITS else float("inf")


def _list(lists: object, name: str) -> list[object]:
    found = lists.get(name) if isinstance(lists, dict) else None
    if not isinstance(found, list):
        raise msgspec.ValidationError(f"Expected `array` - at `$.{name}`")
    return found


def _not_an_object(body: bytes, status: int) -> sync_failures.SyncFailure:
    """The failure for a body that is not an object: a bare JSON value, or not JSON at all."""
    if len(body) <= 1024:
        try:
            json.loads(body.decode())  # JSON is UTF-8: do not guess another encoding
        except (ValueError, RecursionError):
            return sync_failures.endpoint_not_json(status)
        return sync_failures.unexpected_document("Expected `object`", status)
    return sync_failures.endpoint_not_json(status)


def _element(found: object, decoder: msgspec.json.Decoder[T]) -> Element[T] | Broken:
    """Read an element at once, or field by field if an error occurs."""
    if isinstance(found, msgspec.Raw):
        try:
            return Element(decoder.decode(found), {})
        except _UNREADABLE:
            try:
                found = _raw_fields(found)
            except (ValueError, RecursionError) as error:
                return Broken(str(error))
    if not isinstance(found, dict):
        return Broken("it is not an object")
    fields: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for field in msgspec.structs.fields(decoder.type):
        if field.encode_name in found:
            try:
                fields[field.name] = _field(found[field.encode_name], field.type)
            except (ValueError, RecursionError) as error:
                unreadable[field.name] = str(error)
    if "id" not in fields:
        return Broken(unreadable.get("id", "it has none"))
    return Element(decoder.type(**fields), unreadable)


def _raw_fields(element: msgspec.Raw) -> object:
    """Split an element into fields, so that a field nested too deep costs no other."""
    try:
        return _raws.decode(element)
    except _UNREADABLE:
        return _loosely(bytes(element))


def _field(value: object, wanted: object) -> object:
    """Convert a field. Raises `ValueError`, or `RecursionError` if it is nested too deep."""
    if isinstance(value, msgspec.Raw):
        value = _loosely(bytes(value))
    if isinstance(value, float) and value.is_integer() and wanted == int | None:
        value = int(value)
    return msgspec.convert(_text(value), wanted)


def _text(value: object) -> object:
    """Drop lone surrogates from all texts in a value, and keys that have one.

    Raises:
        ValueError: a text is not UTF-8.
    """
    match value:
        case str():
            if _UNDECODED in value:
                raise ValueError("it is not UTF-8")
            return _SURROGATES.sub("", value)
        case list():
            return [_text(item) for item in value]
        case dict():
            known = (name for name in value if not _SURROGATES.search(name))
            return {name: _text(value[name]) for name in known}
        case _:
            return value
