"""Reading `view/All`: tolerant of what comes and goes, strict about what is a schedule at all.

The shape is that of Sessionize's own answers; keys that the import does not need are ignored.
"""

import json
from typing import TypeVar

import msgspec
from msgspec import Struct

from worker.rules import sync_failures

MOST_ELEMENTS = 50_000
"""Sessions, speakers or rooms: ten times the largest conference that there is."""

MOST_SEPARATORS = 2_000_000
"""Commas in a document: a bound on what reading it can cost before its elements are counted."""

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
    """An element that cannot be read: its id, if that at least can be, and what is wrong."""

    id: str | None
    reason: str


class Document(Struct, frozen=True):
    """A schedule as Sessionize wrote it, element by element, in its order."""

    sessions: tuple[SourceSession | Broken, ...]
    speakers: tuple[SourceSpeaker | Broken, ...]
    rooms: tuple[SourceRoom | Broken, ...]


class _Envelope(Struct):
    sessions: list[msgspec.Raw]
    speakers: list[msgspec.Raw]
    rooms: list[msgspec.Raw]


class _OnlyId(Struct):
    id: Id


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_envelope = msgspec.json.Decoder(_Envelope)
_only_id = msgspec.json.Decoder(_OnlyId)
_session = msgspec.json.Decoder(SourceSession)
_speaker = msgspec.json.Decoder(SourceSpeaker)
_room = msgspec.json.Decoder(SourceRoom)


def parse_document(body: bytes, status: int = 200) -> Document:
    """Read an answer's body, whatever its content type says.

    Raises:
        Refusal: `endpoint_not_json` if it is no JSON at all, `unexpected_document` if it is cut
            off or not a schedule.
    """
    body = body.removeprefix(_BOM)
    if body.lstrip()[:1] not in (b"{", b"["):
        raise _not_an_object(body, status)
    if body.count(b",") > MOST_SEPARATORS:
        raise sync_failures.unexpected_document("it lists far more than a conference has", status)
    try:
        envelope = _open(body)
    except msgspec.ValidationError as error:
        raise sync_failures.unexpected_document(str(error), status) from error
    except _UNREADABLE as error:
        reason = f"it is cut off or damaged ({error})"
        raise sync_failures.unexpected_document(reason, status) from error
    for name in _Envelope.__struct_fields__:
        number = len(getattr(envelope, name))
        if number > MOST_ELEMENTS:
            raise sync_failures.unexpected_document(f"it lists {number:,} {name}", status)
    return Document(
        sessions=tuple(_element(raw, _session) for raw in envelope.sessions),
        speakers=tuple(_element(raw, _speaker) for raw in envelope.speakers),
        rooms=tuple(_element(raw, _room) for raw in envelope.rooms),
    )


def _open(body: bytes) -> _Envelope:
    """The three lists, their elements still closed.

    Half of a surrogate pair, which no JSON text may hold and some writers leave where they cut,
    must not close the whole document: then a more tolerant reader takes it apart.
    """
    try:
        return _envelope.decode(body)
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
        return _Envelope(
            **{
                name: [msgspec.Raw(element) for element in _list(lists, name)]
                for name in _Envelope.__struct_fields__
            }
        )


def _list(lists: dict[str, object], name: str) -> list[bytes]:
    found = lists.get(name)
    if not isinstance(found, list):
        raise msgspec.ValidationError(f"Expected `array` - at `$.{name}`")
    return found


def _not_an_object(body: bytes, status: int) -> sync_failures.SyncFailure:
    """A bare JSON value is JSON of the wrong kind; everything else is no JSON."""
    if len(body) <= 1024:
        try:
            json.loads(body.decode())  # in UTF-8, as JSON is: no guesses
        except (ValueError, RecursionError):
            return sync_failures.endpoint_not_json(status)
        return sync_failures.unexpected_document("Expected `object`", status)
    return sync_failures.endpoint_not_json(status)


def _element(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | Broken:
    try:
        return decoder.decode(raw)
    except _UNREADABLE as error:
        try:
            return decoder.decode(_without_what_nobody_reads(raw, decoder.type))
        except (*_UNREADABLE, ValueError):
            return Broken(_readable_id(raw), str(error))


def _without_what_nobody_reads(raw: msgspec.Raw, wanted: type[T]) -> bytes:
    """Half of a pair in a field that is not imported costs nothing."""
    names = {field.encode_name for field in msgspec.structs.fields(wanted)}
    element = json.loads(bytes(raw)) if b"\\ud" in bytes(raw).lower() else None
    if not isinstance(element, dict):
        raise ValueError("no half of a pair is to blame")
    return json.dumps({k: v for k, v in element.items() if k in names}).encode()


def _readable_id(raw: msgspec.Raw) -> str | None:
    try:
        return str(_only_id.decode(raw).id).strip()
    except _UNREADABLE:
        return _readable_id_beside_half_a_pair(raw)


def _readable_id_beside_half_a_pair(raw: msgspec.Raw) -> str | None:
    try:
        element = json.loads(bytes(raw))
        found = element.get("id") if isinstance(element, dict) else None
        if isinstance(found, bool) or not isinstance(found, str | int):
            return None
        return str(found).encode().decode().strip()
    except (ValueError, RecursionError):
        return None
