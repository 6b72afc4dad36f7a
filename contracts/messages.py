"""The messages that SpreaView sends: snake_case JSON, headers optional."""

import json
import re
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from contracts.wrong_fields import wrong_field

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time. In JSON: RFC 3339 with an offset; this program writes UTC."""

PERSONAL_SCHEMA = {"$comment": "Personal data: null after an erasure."}
"""Marks a personal field in a JSON Schema, by a keyword that every validator knows and ignores."""

_API_ID = re.compile(r"[A-Za-z0-9]{8,12}")
_API_URL = re.compile(
    r"https?://(?:www\.)?sessionize\.com/api/(?:v2/)?([A-Za-z0-9]{8,12})(?:[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)


class Window(Struct, frozen=True, kw_only=True):
    """The days of a SpreaView event, both inclusive, in its own time zone."""

    starts_on: Annotated[date, Meta(description="First day, inclusive, e.g. 2026-05-28.")]
    ends_on: Annotated[date, Meta(description="Last day, inclusive, e.g. 2026-05-29.")]
    time_zone: Annotated[str, Meta(description="IANA time zone, e.g. Europe/Vienna.")]


class RequestIds(Struct, frozen=True, kw_only=True):
    """The ids of a request: they name its run and its stream, so that it can be answered."""

    request_id: Annotated[UUID, Meta(description="Id of the request and of its run (sync_id).")]
    organization_id: Annotated[UUID, Meta(description="Owner of the SpreaView event.")]
    spreaview_event_id: Annotated[UUID, Meta(description="The conference or meetup to import.")]


class SyncRequested(RequestIds, frozen=True, kw_only=True):
    """Import this Sessionize schedule into this SpreaView event, now."""

    sessionize_api_id: Annotated[
        str,
        Meta(
            description="8 to 12 letters or digits, or a Sessionize API URL that holds them.",
            max_length=2048,
        ),
    ]
    window: Window
    """The days of the SpreaView event, both inclusive, in its time zone."""
    requested_at: Instant
    """When the request was made, by the clock of its sender."""
    requested_by: Annotated[
        Annotated[str, Meta(max_length=1024)] | None,
        Meta(
            description="Who pressed the button, as SpreaView wants it shown.",
            extra_json_schema=PERSONAL_SCHEMA,
        ),
    ] = None
    force: Annotated[
        bool | None, Meta(description="Emit every entity again, also what did not change.")
    ] = None
    allow_removals: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Confirms up to this many removals that were withheld."),
    ] = None


class ErasureIds(Struct, frozen=True, kw_only=True):
    """The ids by which an erasure request is answered."""

    request_id: Annotated[UUID, Meta(description="Id of the request and of the erasure.")]
    organization_id: Annotated[UUID, Meta(description="Whose data about the speaker is erased.")]


class SpeakerErasureRequested(ErasureIds, frozen=True, kw_only=True):
    """Forget this speaker of this organization. Exactly one of the two ids is given."""

    speaker_id: Annotated[
        UUID | None, Meta(description="Our id. Refused if the organization does not know it.")
    ] = None
    sessionize_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000)] | None,
        Meta(
            description="The GUID in Sessionize. A speaker whom nobody knows is forgotten in "
            "advance."
        ),
    ] = None
    requested_at: Instant
    """When the request was made, by the clock of its sender."""


class UnreadableRequestError(ValueError):
    """The ids cannot be read, so the request cannot be answered: the message is a dead letter."""


class InvalidRequestError(ValueError):
    """The ids can be read, but another field is wrong: the run fails as `invalid_request`."""

    def __init__(self, ids: RequestIds, reason: str) -> None:
        super().__init__(reason)
        self.ids = ids
        self.reason = reason


class InvalidErasureError(ValueError):
    """The ids can be read, but another field is wrong: the request is refused."""

    def __init__(self, ids: ErasureIds, reason: str) -> None:
        super().__init__(reason)
        self.ids = ids
        self.reason = reason


T = TypeVar("T", RequestIds, SyncRequested, ErasureIds, SpeakerErasureRequested)

_LONE_SURROGATES = re.compile("[\ud800-\udfff]+")
_ids_decoder = msgspec.json.Decoder(RequestIds)
_request_decoder = msgspec.json.Decoder(SyncRequested)
_erasure_ids_decoder = msgspec.json.Decoder(ErasureIds)
_erasure_decoder = msgspec.json.Decoder(SpeakerErasureRequested)
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_request(body: bytes) -> SyncRequested:
    """Decode one message.

    Raises:
        UnreadableRequestError: the message is not JSON, or one of the three ids is missing or is
            not a UUID.
        InvalidRequestError: another field is missing or wrong; the reason names it.
    """
    body, ids = _read_ids(body, _ids_decoder)
    try:
        request = _decode(body, _request_decoder)
        request.requested_at.astimezone(UTC)
        return request
    except OverflowError as error:
        raise InvalidRequestError(ids, "requested_at is outside the calendar") from error
    except _UNDECODABLE as error:
        raise InvalidRequestError(ids, wrong_field(error, SyncRequested).words) from error


def decode_erasure(body: bytes) -> SpeakerErasureRequested:
    """Decode one message.

    Raises:
        UnreadableRequestError: the message is not JSON, or one of the first two ids is missing or
            is not a UUID.
        InvalidErasureError: another field is missing or wrong; the reason names it.
    """
    body, ids = _read_ids(body, _erasure_ids_decoder)
    try:
        request = _decode(body, _erasure_decoder)
    except _UNDECODABLE as error:
        raise InvalidErasureError(ids, wrong_field(error, SpeakerErasureRequested).words) from error
    if (request.speaker_id is None) == (request.sessionize_id is None):
        raise InvalidErasureError(ids, "exactly one of speaker_id and sessionize_id is required")
    return request


def _read_ids(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T]:
    """Return the body without a byte order mark, and its ids; raises `UnreadableRequestError`."""
    if not body:
        raise UnreadableRequestError("the message is empty (a tombstone?)")
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return body, _decode(body, decoder)
    except _UNDECODABLE as error:
        raise UnreadableRequestError(wrong_field(error, decoder.type).words) from error


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a message; drop lone surrogates, and replace invalid UTF-8 by U+FFFD.

    Some writers leave a lone surrogate where they cut a text. Raises as `decoder`.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            loose = json.loads(body.decode("utf-8", "replace"))
        except ValueError:
            raise error from None
        if isinstance(loose, dict):
            known = decoder.type.__struct_fields__
            loose = {name: _whole(value) for name, value in loose.items() if name in known}
        return msgspec.convert(loose, decoder.type)


def _whole(value: object) -> object:
    """Return decoded JSON without lone surrogates in texts, and without keys that have one."""
    match value:
        case str():
            return _LONE_SURROGATES.sub("", value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            known = (name for name in value if not _LONE_SURROGATES.search(name))
            return {name: _whole(value[name]) for name in known}
        case _:
            return value


def encode_request(request: SyncRequested | SpeakerErasureRequested) -> bytes:
    """Encode one message; `decode_request` and `decode_erasure` are the inverses."""
    return msgspec.json.encode(request)


def parse_api_id(text: str) -> str | None:
    """The API ID in a text that somebody typed or pasted; None if it has none.

    The result has only letters and digits, so it can be neither a host nor a path.
    """
    text = text.strip()
    if _API_ID.fullmatch(text):
        return text
    pasted = _API_URL.fullmatch(text)
    return pasted[1] if pasted else None


def mask_api_id(api_id: str) -> str:
    """The API ID in a form that may be shown: its first two characters, then asterisks."""
    return api_id[:2] + "*" * (len(api_id) - 2)
