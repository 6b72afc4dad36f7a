"""`SyncRequested`, the only message that SpreaView sends: snake_case JSON, headers optional."""

import json
import re
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time. In JSON: RFC 3339 with an offset; this program writes UTC."""

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
    requested_at: Instant
    requested_by: Annotated[
        Annotated[str, Meta(max_length=1024)] | None,
        Meta(
            description="Who pressed the button, as SpreaView wants it shown.",
            extra_json_schema={"x-personal": True},
        ),
    ] = None
    force: Annotated[
        bool | None, Meta(description="Emit every entity again, also what did not change.")
    ] = None
    allow_removals: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Confirms up to this many removals that were withheld."),
    ] = None


class UnreadableRequestError(ValueError):
    """The ids cannot be read, so no run can be ended: the message is a dead letter."""


class InvalidRequestError(ValueError):
    """The ids can be read, but another field is wrong: the run fails as `invalid_request`."""

    def __init__(self, ids: RequestIds, reason: str) -> None:
        super().__init__(reason)
        self.ids = ids
        self.reason = reason


T = TypeVar("T", RequestIds, SyncRequested)

_LONE_SURROGATES = re.compile("[\ud800-\udfff]+")
_ids_decoder = msgspec.json.Decoder(RequestIds)
_request_decoder = msgspec.json.Decoder(SyncRequested)


def decode_request(body: bytes) -> SyncRequested:
    """Decode one message.

    Raises:
        UnreadableRequestError: the message is not JSON, or one of the three ids is missing or is
            not a UUID.
        InvalidRequestError: another field is missing or wrong; the reason names it.
    """
    if not body:
        raise UnreadableRequestError("the message is empty (a tombstone?)")
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        ids = _decode(body, _ids_decoder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRequestError(str(error)) from error
    try:
        request = _decode(body, _request_decoder)
        request.requested_at.astimezone(UTC)
        return request
    except OverflowError as error:
        raise InvalidRequestError(ids, "requested_at is outside the calendar") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(ids, str(error)) from error


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


def encode_request(request: SyncRequested) -> bytes:
    """Encode one message; `decode_request` is the inverse."""
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
