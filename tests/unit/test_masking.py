"""Texts for people: anything like an API ID is masked, and the rest stays readable."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.masking import body_text, masked, masked_bytes

SECRET = "s3cretid4242"
LETTERS_ONLY = "jlktlsqx"


@pytest.mark.parametrize(
    "body",
    [
        '{"sessionize_api_id": "%s"}',
        '{"sessionize_api_id":"%s","window":{}}',
        '{"request": {"Sessionize-API-Id": ["%s"]}}',
        '{"sessionizeApiId": "  %s  "}',
        '{"sessionize_api_id": "https://sessionize.com/api/v2/%s/view/All"}',
        '{"event": "%s"}',
        '{"\\u0073essionize_api_id": "%s"}',
        '{"url": "https:\\/\\/sessionize.com\\/api\\/v2\\/%s\\/view\\/All"}',
        '["%s", {"%s": 1}]',
        '"%s"',
        '{"sessionize_api_id": "%s',  # cut off
        '{"sessionize_api_id": %s, "window": ',
        "{'sessionize_api_id': '%s'}",
        "sessionize_api_id=%s&window=",
        "%s",
        "\n%s\n",
        "https://sessionize.com/api/v2/%s/view/All",
        "see https://www.sessionize.com/api/%s?x=1",
        "please import %s, thank you",
        "my_%s",
        "\ufeff%s",
        "\x1b[31m%s",
        "\x1b[0;1m\x1b[4m%s\x1b[0m",
        '{"\\n%s',
        '{"\\u0020%s',
        "%%20%s%%20",
    ],
)
def test_an_api_id_is_masked_in_every_position(body: str) -> None:
    shown = body_text(body.replace("%s", SECRET).encode())
    assert shown is not None
    assert SECRET not in shown
    assert "********" in shown


@pytest.mark.parametrize(
    "body",
    [
        '{"sessionize_api_id": "%s"}',
        '{"event": "%s"}',
        "%s",
        "import %s now",
        "https://sessionize.com/api/v2/%s",
        "sessionize_api_id: %s",
    ],
)
def test_an_id_of_letters_only_is_masked(body: str) -> None:
    shown = body_text((body % LETTERS_ONLY).encode())
    assert shown is not None
    assert LETTERS_ONLY not in shown


@pytest.mark.parametrize("api_id", ["12345678", "1234"])
def test_a_number_in_the_field_of_the_id_is_masked(api_id: str) -> None:
    shown = body_text(f'{{"sessionize_api_id": {api_id}}}'.encode())
    assert shown is not None
    assert api_id not in shown


def test_ids_dates_and_numbers_of_a_request_stay_readable() -> None:
    request = {
        "request_id": "0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b",
        "organizationId": "5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d",
        "window": {"starts_on": "2026-05-28", "time_zone": "America/Argentina/Buenos_Aires"},
        "requested_at": "2026-05-20T08:00:00Z",
        "force": False,
        "allow_removals": 12345678,
    }
    shown = body_text(json.dumps(request).encode())
    assert shown is not None
    assert json.loads(shown) == request


def test_field_names_stay_readable_in_text_that_is_not_json() -> None:
    shown = body_text(b'{"organization_id": 1, requestedBy: x, spreaview_event_id=2')
    assert shown == '{"organization_id": 1, requestedBy: x, spreaview_event_id=2'


def test_sentences_keep_their_words() -> None:
    reason = "Object missing required field `organization_id`"
    assert masked(reason, words=True) == reason
    assert masked(f"duplicate of {SECRET}", words=True) == "duplicate of s3**********"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_another_encoding_is_masked_as_bytes(encoding: str) -> None:
    raw = f"id: {SECRET}".encode(encoding)
    assert body_text(raw) is None
    shown = masked_bytes(raw)
    assert len(shown) == len(raw)
    assert SECRET.encode() not in shown.replace(b"\x00", b"")


def test_bytes_that_are_not_text_are_masked() -> None:
    raw = b"\xff\xfe\x01" + SECRET.encode() + b"\x80"
    assert body_text(raw) is None
    assert masked_bytes(raw) == b"\xff\xfe\x01s3**********\x80"


@given(st.binary(max_size=200))
def test_all_bytes_can_be_masked_and_keep_their_length(raw: bytes) -> None:
    body_text(raw)
    assert len(masked_bytes(raw)) == len(raw)


@given(
    st.text(max_size=30).filter(lambda t: not (t and t[-1].isascii() and t[-1].isalnum())),
    st.from_regex(r"[A-Za-z0-9]{8,12}", fullmatch=True).filter(lambda t: t.lower() != "sessionize"),
    st.text(max_size=30).filter(lambda t: not (t and t[0].isascii() and t[0].isalnum())),
)
def test_an_id_in_any_text_is_masked_unless_it_may_be_a_field_name(
    before: str, api_id: str, after: str
) -> None:
    text = before + api_id + after
    if "-" in text or ((api_id.isalpha() or api_id.isdigit()) and (":" in after or "=" in after)):
        return
    assert api_id not in masked(text)


def test_deep_nesting_is_masked_as_text() -> None:
    shown = body_text(b"[" * 100_000 + SECRET.encode())
    assert shown is not None
    assert SECRET not in shown
