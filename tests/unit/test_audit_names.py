"""The names by which an entity can be queried."""

from uuid import UUID

import pytest

from audit.past.entities import EntityQuery
from contracts import identity

EVENT = UUID("00000000-0000-4000-8000-00000000bbbb")
ID = identity.session_id(EVENT, "aB1")
CODE = identity.session_code(ID)


@pytest.mark.parametrize("text", ["aB1", str(ID), str(ID).upper(), CODE, CODE.lower()])
def test_a_session_matches_three_names(text: str) -> None:
    assert EntityQuery("session", text).matches("session", ID, "aB1")
    assert not EntityQuery("room", text).matches("session", ID, "aB1")


@pytest.mark.parametrize("text", ["ab1", "AB1", "", CODE[:-1]])
def test_other_names_do_not_match(text: str) -> None:
    assert not EntityQuery("session", text).matches("session", ID, "aB1")


def test_only_sessions_have_a_code() -> None:
    assert not EntityQuery("room", CODE).matches("room", ID, "aB1")


def test_an_empty_query_matches_every_entity() -> None:
    assert EntityQuery().matches("speaker", ID, "aB1")


@pytest.mark.parametrize(
    "key", ["0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "0A1B2C3D-4E5F-4A6B-8C7D-9E0F1A2B3C4D"]
)
@pytest.mark.parametrize(
    "text",
    [
        "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        "0A1B2C3D-4E5F-4A6B-8C7D-9E0F1A2B3C4D",
        "0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d",
        "0a1b2c3d 4e5f 4a6b 8c7d 9e0f1a2b3c4d",
        str(ID).replace("-", "").upper(),
    ],
)
def test_a_uuid_matches_in_every_spelling(key: str, text: str) -> None:
    assert EntityQuery("speaker", text).matches("speaker", ID, key)
    assert not EntityQuery("speaker", text).matches("speaker", UUID(int=1), "another")
