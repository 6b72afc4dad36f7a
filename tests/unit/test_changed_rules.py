"""A new version of this program with another text rule emits no change of its own."""

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
    """Make the text rule drop the tilde, too."""
    monkeypatch.setattr("worker.rules.text._DROPPED", re.compile("[\x00-\x08~]+"))
    monkeypatch.setattr("worker.rules.text._is_plain", lambda _: False)


def test_the_document_contains_what_the_stricter_rule_drops() -> None:
    assert "~" in str(given(DOCUMENT).events)


def test_a_stricter_rule_alone_changes_nothing(
    request: pytest.FixtureRequest,
) -> None:
    history = given(DOCUMENT)
    request.getfixturevalue("_stricter_rule")
    assert history.when(DOCUMENT).changes == []


def test_a_change_of_the_document_is_reported_by_the_stricter_rule(
    request: pytest.FixtureRequest,
) -> None:
    history = given(DOCUMENT)
    request.getfixturevalue("_stricter_rule")
    changed = DOCUMENT | {"rooms": [room(7, name="Great~Hall~")]}
    outcome = history.when(changed)
    assert outcome.changes == ["RoomImported 7 updated: name"]
    assert "~" not in str([event for event in outcome.events if "Great" in str(event)])
