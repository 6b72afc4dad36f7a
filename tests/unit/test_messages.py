"""Decoding `SyncRequested`: readable, unreadable and invalid messages."""

from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest

from contracts import samples
from contracts.codec import JsonObject
from contracts.messages import (
    InvalidRequestError,
    RequestIds,
    UnreadableRequestError,
    decode_request,
    encode_request,
    parse_api_id,
)

IDS = ("request_id", "organization_id", "spreaview_event_id")
PLAIN = cast("JsonObject", msgspec.to_builtins(samples.REQUEST))
MISSING = object()


def changed(path: str, value: object) -> bytes:
    """The sample with one field, named by a dotted path, set or removed."""
    whole = msgspec.json.decode(encode_request(samples.REQUEST))
    *parents, name = path.split(".")
    inner = whole
    for parent in parents:
        inner = inner[parent]
    inner.pop(name)
    if value is not MISSING:
        inner[name] = value
    return msgspec.json.encode(whole)


def test_decoding_inverts_encoding() -> None:
    assert decode_request(encode_request(samples.REQUEST)) == samples.REQUEST


def test_a_byte_order_mark_is_ignored() -> None:
    assert decode_request(b"\xef\xbb\xbf" + encode_request(samples.REQUEST)) == samples.REQUEST


def test_unknown_fields_are_ignored() -> None:
    body = msgspec.json.encode({**PLAIN, "colour": "blue", "nested": [{}]})

    assert decode_request(body) == samples.REQUEST


@pytest.mark.parametrize("code", [0xD83D, 0xDC00], ids=hex)
def test_a_lone_surrogate_is_dropped_anywhere(code: int) -> None:
    half = f"\\u{code:04x}".encode()
    body = encode_request(samples.REQUEST).replace(b"Ada Example", b"Ada Example" + half)
    body = body.replace(b"Europe/Vienna", b"Europe/" + half + b"Vienna")
    body = body.replace(b'{"', b'{"' + half + b'": ["' + half + b'"], "')

    assert half in body
    assert decode_request(body) == samples.REQUEST


def test_a_whole_surrogate_pair_stays_a_character() -> None:
    body = encode_request(samples.REQUEST).replace(b"Ada Example", rb"\ud83d\ude00 \ud83d")

    assert decode_request(body).requested_by == "\U0001f600 "


def test_invalid_utf8_is_replaced_and_never_makes_another_value_valid() -> None:
    body = encode_request(samples.REQUEST)
    named = decode_request(body.replace(b"Ada Example", b"Ada \xe4\xff"))
    cut = decode_request(body.replace(b"abcd1234", b"abcd1234\xff"))

    assert named.requested_by == "Ada \ufffd\ufffd"
    assert parse_api_id(cut.sessionize_api_id) is None


def test_a_wrong_field_is_named_despite_a_lone_surrogate() -> None:
    body = changed("requested_at", "yesterday").replace(b"Ada", rb"Ada\ud83d")

    with pytest.raises(InvalidRequestError, match="requested_at"):
        decode_request(body)


@pytest.mark.parametrize("name", ["requested_by", "force", "allow_removals"])
@pytest.mark.parametrize("value", [MISSING, None], ids=["missing", "null"])
def test_optional_fields_may_be_missing_or_null(name: str, value: object) -> None:
    request = decode_request(changed(name, value))

    assert not getattr(request, name)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"not json", id="text"),
        pytest.param(encode_request(samples.REQUEST)[:-1], id="cut off"),
        pytest.param(encode_request(samples.REQUEST).decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"request_id":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":' * 100_000, id="deeply nested"),
        *(pytest.param(changed(name, MISSING), id=f"no {name}") for name in IDS),
        *(pytest.param(changed(name, "42"), id=f"{name} is no UUID") for name in IDS),
        *(pytest.param(changed(name, None), id=f"{name} is null") for name in IDS),
    ],
)
def test_a_request_without_ids_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableRequestError):
        decode_request(body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sessionize_api_id", MISSING),
        ("sessionize_api_id", 12345678),
        ("sessionize_api_id", "x" * 2049),
        ("window", MISSING),
        ("window", "2026-05-28"),
        ("window.starts_on", MISSING),
        ("window.starts_on", "28.05.2026"),
        ("window.starts_on", "2026-02-30"),
        ("window.ends_on", MISSING),
        ("window.ends_on", None),
        ("window.time_zone", MISSING),
        ("window.time_zone", 1),
        ("requested_at", MISSING),
        ("requested_at", "yesterday"),
        ("requested_at", "2026-05-20T08:00:00"),
        ("requested_by", ["Ada"]),
        ("requested_by", "x" * 1025),
        ("force", "yes"),
        ("allow_removals", -1),
        ("allow_removals", True),
        ("allow_removals", "5"),
    ],
)
def test_any_other_wrong_field_is_invalid_and_named(path: str, value: object) -> None:
    with pytest.raises(InvalidRequestError) as invalid:
        decode_request(changed(path, value))

    assert path.rsplit(".", 1)[-1] in invalid.value.reason
    assert invalid.value.ids == RequestIds(
        request_id=samples.SYNC,
        organization_id=samples.ORGANIZATION,
        spreaview_event_id=samples.EVENT,
    )


def test_an_offset_is_part_of_the_instant() -> None:
    request = decode_request(changed("requested_at", "2026-05-20T10:00:00+02:00"))

    assert request.requested_at == datetime(2026, 5, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_an_instant_outside_the_utc_calendar_is_invalid(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="requested_at"):
        decode_request(changed("requested_at", text))


def test_an_empty_message_is_reported_as_empty() -> None:
    with pytest.raises(UnreadableRequestError, match="empty"):
        decode_request(b"")
