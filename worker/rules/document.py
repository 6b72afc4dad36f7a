"""Parsing `view/All`: tolerant of single broken elements, strict about the shape of a schedule.

Sessionize defines the shape; keys that the import does not need are ignored.
"""

import json
from typing import TypeVar

import msgspec
from msgspec import Struct

from worker.rules import sync_failures

MOST_ELEMENTS = 50_000
"""Sessions, speakers or rooms of a document: ten times the largest known conference."""

MOST_SEPARATORS = 2_000_000
"""Commas in a document: limits the cost of parsing before the elements are counted."""

_BOM = b"\xef\xbb\xbf"

Id = str | int


class SourceSession(Struct, rename="camel", frozen=True):
    """`sessions[]`."""

    id: Id
    title: str
    description: str | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    is_service_session: bool | None = None
    is_plenum_session: bool | None = None
    speakers: tuple[Id, ...] | None = None
    room_id: Id | None = None
    live_url: str | None = None
    recording_url: str | None = None


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


T = TypeVar("T", SourceSession, SourceSpeaker, SourceRoom)


class Broken(Struct, frozen=True):
    """An element that cannot be read: its id, if that is readable, and the reason."""

    id: str | None
    reason: str


class Document(Struct, frozen=True):
    """A schedule as Sessionize wrote it, in its order."""

    sessions: tuple[SourceSession | Broken, ...]
    speakers: tuple[SourceSpeaker | Broken, ...]
    rooms: tuple[SourceRoom | Broken, ...]


class _Lists(Struct):
    sessions: list[msgspec.Raw]
    speakers: list[msgspec.Raw]
    rooms: list[msgspec.Raw]


class _OnlyId(Struct):
    id: Id


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_lists = msgspec.json.Decoder(_Lists)
_only_id = msgspec.json.Decoder(_OnlyId)
_session = msgspec.json.Decoder(SourceSession)
_speaker = msgspec.json.Decoder(SourceSpeaker)
_room = msgspec.json.Decoder(SourceRoom)


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
    for name in _Lists.__struct_fields__:
        number = len(getattr(lists, name))
        if number > MOST_ELEMENTS:
            raise sync_failures.unexpected_document(f"it lists {number:,} {name}", status)
    return Document(
        sessions=tuple(_element(raw, _session) for raw in lists.sessions),
        speakers=tuple(_element(raw, _speaker) for raw in lists.speakers),
        rooms=tuple(_element(raw, _room) for raw in lists.rooms),
    )


def _open(body: bytes) -> _Lists:
    """Parse the three lists, but not yet their elements.

    A lone surrogate is invalid JSON, but some writers leave one where they cut a text. It must not
    invalidate the whole document, so such a document is split by a more tolerant parser.
    """
    try:
        return _lists.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if b"\\ud" not in body.lower():
            raise
        try:
            loose = json.loads(body)
        except (ValueError, RecursionError):
            raise error from None
        lists = {
            name: [json.dumps(element).encode() for element in found]
            if isinstance(found, list)
            else found
            for name, found in (loose.items() if isinstance(loose, dict) else ())
        }
        return _Lists(
            **{
                name: [msgspec.Raw(element) for element in _list(lists, name)]
                for name in _Lists.__struct_fields__
            }
        )


def _list(lists: dict[str, object], name: str) -> list[bytes]:
    found = lists.get(name)
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


def _element(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | Broken:
    try:
        return decoder.decode(raw)
    except _UNREADABLE as error:
        try:
            return decoder.decode(_without_ignored_keys(raw, decoder.type))
        except (*_UNREADABLE, ValueError):
            return Broken(_readable_id(raw), str(error))


def _without_ignored_keys(raw: msgspec.Raw, wanted: type[T]) -> bytes:
    """Drop the keys we do not import: a lone surrogate there must not invalidate the element."""
    names = {field.encode_name for field in msgspec.structs.fields(wanted)}
    element = json.loads(bytes(raw)) if b"\\ud" in bytes(raw).lower() else None
    if not isinstance(element, dict):
        raise ValueError("the element has no lone surrogate")
    return json.dumps({k: v for k, v in element.items() if k in names}).encode()


def _readable_id(raw: msgspec.Raw) -> str | None:
    try:
        return str(_only_id.decode(raw).id).strip()
    except _UNREADABLE:
        return _readable_id_despite_surrogates(raw)


def _readable_id_despite_surrogates(raw: msgspec.Raw) -> str | None:
    try:
        element = json.loads(bytes(raw))
        found = element.get("id") if isinstance(element, dict) else None
        if isinstance(found, bool) or not isinstance(found, str | int):
            return None
        return str(found).encode().decode().strip()
    except (ValueError, RecursionError):
        return None
