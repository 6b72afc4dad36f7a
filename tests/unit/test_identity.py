"""Ids that never change, computed independently a second time."""

import hashlib
import json
import re
from importlib.resources import files
from uuid import UUID

from hypothesis import strategies as st

from contracts import identity
from tests.support.properties import for_all

VECTORS = json.loads((files("contracts") / "examples" / "identity.json").read_text("utf-8"))
EVENT, ORGANIZATION = UUID(VECTORS["spreaview_event_id"]), UUID(VECTORS["organization_id"])
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U


def version_5(namespace: UUID, name: str) -> str:
    """UUIDv5 as RFC 9562 describes it."""
    digits = bytearray(hashlib.sha1(namespace.bytes + name.encode()).digest()[:16])
    digits[6] = digits[6] & 0x0F | 0x50
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def code_of(session_id: str) -> str:
    """The last 15 hexadecimal digits, regrouped as 12 digits of base 32."""
    bits = f"{int(session_id.replace('-', '')[-15:], 16):060b}"
    return "".join(ALPHABET[int(bits[n : n + 5], 2)] for n in range(0, 60, 5))


def test_the_vectors_of_sessions() -> None:
    assert VECTORS["sessions"]
    for vector in VECTORS["sessions"]:
        expected = version_5(EVENT, f"session:{vector['sessionize_id']}")
        session_id = identity.session_id(EVENT, vector["sessionize_id"])
        assert vector["session_id"] == expected == str(session_id)
        assert vector["session_code"] == code_of(expected) == identity.session_code(session_id)


def test_the_vectors_of_rooms() -> None:
    assert VECTORS["rooms"]
    for vector in VECTORS["rooms"]:
        expected = version_5(EVENT, f"room:{vector['sessionize_id']}")
        assert vector["room_id"] == expected
        assert str(identity.room_id(EVENT, vector["sessionize_id"])) == expected


def test_the_vectors_of_speakers() -> None:
    assert VECTORS["speakers"]
    for vector in VECTORS["speakers"]:
        expected = version_5(ORGANIZATION, f"speaker:{vector['sessionize_id']}")
        assert vector["speaker_id"] == expected
        assert str(identity.speaker_id(ORGANIZATION, vector["sessionize_id"])) == expected


def test_the_vectors_of_messages() -> None:
    assert [vector["ordinal"] for vector in VECTORS["messages"]] == [0, 1, "outcome"]
    for vector in VECTORS["messages"]:
        sync_id = UUID(vector["sync_id"])
        expected = version_5(sync_id, str(vector["ordinal"]))
        assert vector["message_id"] == expected
        assert str(identity.message_id(sync_id, vector["ordinal"])) == expected


@for_all(st.uuids())
def test_a_code_is_12_characters_of_crockfords_base_32(session_id: UUID) -> None:
    code = identity.session_code(session_id)

    assert re.fullmatch(f"[{ALPHABET}]{{12}}", code)
    assert code == code_of(str(session_id))


@for_all(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_a_sessionize_id(namespace: UUID, key: str) -> None:
    assert str(identity.session_id(namespace, key)) == version_5(namespace, f"session:{key}")
    assert str(identity.room_id(namespace, key)) == version_5(namespace, f"room:{key}")
    assert str(identity.speaker_id(namespace, key)) == version_5(namespace, f"speaker:{key}")


def test_ids_are_text_and_are_never_parsed() -> None:
    ids = {identity.session_id(EVENT, key) for key in ("7", "07", "7.0", "+7", " 7", "٧")}

    assert len(ids) == 6


def test_sessions_and_rooms_belong_to_one_event() -> None:
    other = UUID(int=EVENT.int + 1)

    assert identity.session_id(EVENT, "1") != identity.session_id(other, "1")
    assert identity.room_id(EVENT, "1") != identity.room_id(other, "1")


def test_a_requester_has_one_id_in_all_runs_of_an_organization() -> None:
    assert str(identity.requester_subject(ORGANIZATION, "Ada")) == version_5(ORGANIZATION, "Ada")
