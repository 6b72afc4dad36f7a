"""A document that lists far more than a conference has is refused before it costs much."""

import pytest

from contracts.failures import FailureCode
from worker.rules import document
from worker.rules.document import MOST_ELEMENTS, MOST_SEPARATORS, parse_document
from worker.rules.sync_failures import SyncFailure


def lists(sessions: int) -> bytes:
    found = ",".join(f'{{"id":{number},"title":"t"}}' for number in range(sessions))
    return f'{{"sessions":[{found}],"speakers":[],"rooms":[]}}'.encode()


def test_a_list_with_one_element_too_many_is_refused() -> None:
    assert len(parse_document(lists(MOST_ELEMENTS)).sessions) == MOST_ELEMENTS
    with pytest.raises(SyncFailure) as failed:
        parse_document(lists(MOST_ELEMENTS + 1))
    assert failed.value.code == FailureCode.UNEXPECTED_DOCUMENT
    assert f"{MOST_ELEMENTS + 1:,} sessions" in str(failed.value)


def test_a_document_with_too_many_separators_is_refused_unparsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document, "_open", None)  # parsing would fail

    with pytest.raises(SyncFailure) as failed:
        parse_document(b'{"sessions":[' + b"1," * (MOST_SEPARATORS + 1))

    assert failed.value.code == FailureCode.UNEXPECTED_DOCUMENT
