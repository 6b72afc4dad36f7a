"""A new version of this program, with another text rule, tells nothing that nobody changed."""

import re

import pytest

from tests.support.documents import document, room, speaker, talk
from tests.support.given import given

DOCUMENT = document(
    talk("1", title="A~talk~"),
    talk("2", title="~Another~", room=None),
    speakers=[speaker("ada", bio="~Writes~", links=[{"title": "~", "url": "u~", "linkType": ""}])],
    rooms=[room(7, name="Hall~")],
)


@pytest.fixture
def _stricter_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the tilde is dropped, too."""
    monkeypatch.setattr("worker.rules.text._DROPPED", re.compile("[\x00-\x08~]+"))


def test_the_document_shows_what_the_rule_is_about() -> None:
    assert "~" in str(given(DOCUMENT).events)


def test_a_stricter_rule_changes_nothing_that_the_document_did_not(
    request: pytest.FixtureRequest,
) -> None:
    history = given(DOCUMENT)
    request.getfixturevalue("_stricter_rule")
    assert history.when(DOCUMENT).changes == []


def test_what_the_document_did_change_is_told_by_the_stricter_rule(
    request: pytest.FixtureRequest,
) -> None:
    history = given(DOCUMENT)
    request.getfixturevalue("_stricter_rule")
    changed = DOCUMENT | {"rooms": [room(7, name="Great~Hall~")]}
    outcome = history.when(changed)
    assert outcome.changes == ["RoomImported 7 updated: name"]
    assert "~" not in str([event for event in outcome.events if "Great" in str(event)])
