"""Erasure requests as messages: which are read, refused, or dead letters."""

import json

import pytest

from contracts import samples
from contracts.codec import JsonObject
from contracts.messages import (
    InvalidErasureError,
    SpeakerErasureRequested,
    UnreadableRequestError,
    decode_erasure,
    encode_request,
)

BY_GUID, BY_OUR_ID = samples.ERASURES
WHOLE: JsonObject = json.loads(encode_request(BY_GUID))


def body(**fields: object) -> bytes:
    return json.dumps(WHOLE | fields).encode()


@pytest.mark.parametrize("example", samples.ERASURES, ids=["by GUID", "by our id"])
def test_a_request_is_read_as_it_was_written(example: SpeakerErasureRequested) -> None:
    assert decode_erasure(encode_request(example)) == example
    assert decode_erasure(b"\xef\xbb\xbf" + encode_request(example)) == example


def test_unknown_fields_are_ignored() -> None:
    assert decode_erasure(body(reason="opt-out", news=[1])) == BY_GUID


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(body(request_id="42"), id="no UUID"),
        pytest.param(body(organization_id=None), id="no organization"),
        pytest.param(b"[" * 100_000, id="nested"),
    ],
)
def test_a_message_without_readable_ids_cannot_be_answered(message: bytes) -> None:
    with pytest.raises(UnreadableRequestError):
        decode_erasure(message)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"sessionize_id": None}, "exactly one", id="no speaker"),
        pytest.param({"speaker_id": str(BY_OUR_ID.speaker_id)}, "exactly one", id="two speakers"),
        pytest.param({"sessionize_id": ""}, "of 1 to 1000 characters", id="an empty id"),
        pytest.param({"sessionize_id": "x" * 1001}, "of 1 to 1000 characters", id="a long id"),
        pytest.param({"requested_at": "yesterday"}, "requested_at", id="no time"),
        pytest.param({"requested_at": "2026-05-21T09:00:00"}, "requested_at", id="no offset"),
    ],
)
def test_a_message_with_readable_ids_is_refused_with_the_reason(
    fields: JsonObject, reason: str
) -> None:
    with pytest.raises(InvalidErasureError, match=reason) as invalid:
        decode_erasure(body(**fields))

    ids = invalid.value.ids
    assert (ids.request_id, ids.organization_id) == (BY_GUID.request_id, samples.ORGANIZATION)


def test_a_lone_surrogate_is_dropped() -> None:
    message = body(sessionize_id="a").replace(b'"a"', b'"a\\ud83d"')

    assert decode_erasure(message).sessionize_id == "a"
