"""Canonical JSON: every writer gives the same bytes for the same value."""

import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import strategies as st

from contracts.canonical import canonical, digest
from contracts.codec import take_apart
from contracts.events import ImportEvent, Link
from contracts.samples import EVENTS
from tests.support.properties import for_all

KEYS = st.text(st.characters(codec="ascii"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def independently(value: object) -> bytes:
    """RFC 8785 for ASCII keys and integers, with the standard library."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


@for_all(VALUES)
def test_keys_are_sorted_without_white_space_or_needless_escapes(value: object) -> None:
    assert canonical(value) == independently(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": {"d": None, "c": True}}, '{"a":{"c":true,"d":null},"b":1}'),
        ({"a_b": 1, "a": 2, "aB": 3, "Z": 4}, '{"Z":4,"a":2,"aB":3,"a_b":1}'),
        ('\b\t\n\f\r\x00\x1f\x7f"\\/', '"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\\"\\\\/"'),
        ("é ✓ 👩‍💻 \u2028", '"é ✓ 👩‍💻 \u2028"'),
        (9007199254740991, "9007199254740991"),
    ],
)
def test_the_form_of_rfc_8785(value: object, text: str) -> None:
    assert canonical(value) == text.encode()


def test_structs_ids_and_instants_are_written_as_in_messages() -> None:
    value = {
        "link": Link(url="u", title="t", link_type="l"),
        "id": UUID(int=1),
        "at": datetime(2026, 5, 28, 9, tzinfo=UTC),
    }

    assert canonical(value) == (
        b'{"at":"2026-05-28T09:00:00Z","id":"00000000-0000-0000-0000-000000000001",'
        b'"link":{"link_type":"l","title":"t","url":"u"}}'
    )


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_the_canonical_form_is_stable_after_reading_it_back(event: ImportEvent) -> None:
    data = take_apart(event).data

    assert independently(json.loads(canonical(data))) == canonical(data)


def test_a_digest_is_sha_256_of_the_concatenated_parts() -> None:
    assert digest(b"one", b"", b"two") == hashlib.sha256(b"onetwo").digest()
    assert digest(b"one", b"two") != digest(b"two", b"one")
