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
