"""Naming the wrong field of a body: its path, what is expected there, and never a value."""

from typing import Any

import msgspec
import pytest

from audit.http.models import ErasureRequest, SyncRequest
from contracts.messages import SyncRequested
from contracts.wrong_fields import WrongField, wrong_field

ORGANIZATION = "5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d"
DAYS = {"starts_on": "2026-05-28", "ends_on": "2026-05-29", "time_zone": "Europe/Vienna"}
BODY = {"organization_id": ORGANIZATION, "sessionize_api_id": "demo2026", "window": DAYS}
FIELDS = "an object with the fields organization_id, sessionize_api_id, window, request_id, "


def named(body: object, type_: type[Any] = SyncRequest) -> WrongField:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    try:
        msgspec.json.decode(encoded, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return wrong_field(error, type_)
    raise AssertionError("the body can be read")


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"organization_id": "x"}, "organization_id", "must be a UUID"),
        ({"organization_id": 7}, "organization_id", "must be a UUID, not a number"),
        ({"request_id": "x"}, "request_id", "must be a UUID or null"),
        ({"window": []}, "window", "starts_on, ends_on, time_zone, not a list"),
        ({"window": {}}, "window.starts_on", "is missing. Send a date such as 2026-05-28"),
        (
            {"window": DAYS | {"ends_on": "29.05.2026"}},
            "window.ends_on",
            "must be a date such as 2026-05-28",
        ),
        ({"window": DAYS | {"ends_on": 7}}, "window.ends_on", "such as 2026-05-28, not a number"),
        ({"window": DAYS | {"time_zone": None}}, "window.time_zone", "must be a text, not null"),
        (
            {"window": DAYS | {"start_on": "2026-05-28"}},
            "window.start_on",
            "is not a field here. Did you mean starts_on? Known: starts_on, ends_on, time_zone",
        ),
        ({"forced": True}, "forced", "Did you mean force? Known: organization_id"),
        ({"sessionize_api_id": "x" * 3000}, "sessionize_api_id", "a text of at most 2048 char"),
        ({"force": "yes"}, "force", "must be true or false, not a text"),
        ({"allow_removals": -1}, "allow_removals", "a whole number from 0 to 1000000 or null"),
        ({"allow_removals": 1.5}, "allow_removals", "not a number"),
    ],
)
def test_the_path_and_what_is_expected_there_are_named(
    change: dict[str, object], path: str, words: str
) -> None:
    found = named(BODY | change)
    assert found.path == path
    assert found.words.startswith(f"{path} ")
    assert words in found.words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty or cut off. Send " + FIELDS),
        (b'{"organization_id', "The body is empty or cut off. Send " + FIELDS),
        (b"{,}", "The body is not JSON: "),
        (b'{"sessionize_api_id": "\xff"}', "The body is not UTF-8. Send " + FIELDS),
        (b"[]", "The body must be " + FIELDS),
        (b"null", "The body must be " + FIELDS),
    ],
)
def test_a_body_that_is_no_object_is_named_as_a_whole(body: bytes, words: str) -> None:
    found = named(body)
    assert found.path == "body"
    assert words in found.words


def test_a_body_that_is_nested_too_deeply_is_named_as_a_whole() -> None:
    found = named(b'{"x":' * 100_000 + b"1" + b"}" * 100_000, SyncRequested)
    assert found.path == "body"
    assert "nested too deeply" in found.words


def test_the_value_of_a_field_and_a_long_name_are_not_quoted() -> None:
    secret = "ABCDEF12345"
    assert secret not in named(BODY | {"organization_id": secret}).words
    assert len(named(BODY | {secret * 1000: 1}).words) < 400


def test_a_short_text_is_described_by_both_limits() -> None:
    found = named({"sessionize_id": ""}, ErasureRequest)
    assert found == (
        "sessionize_id",
        "sessionize_id must be a text of 1 to 1000 characters or null",
    )


def test_an_unknown_field_of_a_message_is_allowed_and_a_wrong_one_named() -> None:
    message = BODY | {"request_id": ORGANIZATION, "spreaview_event_id": ORGANIZATION, "new": 1}
    assert named(message | {"requested_at": "noon"}, SyncRequested) == (
        "requested_at",
        "requested_at must be a time with an offset such as 2026-05-28T09:00:00Z",
    )
