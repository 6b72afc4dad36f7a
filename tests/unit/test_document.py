"""Parsing `view/All`: tolerant of broken elements, strict about the shape of a schedule."""

import json

import pytest

from contracts.codec import JsonObject
from contracts.failures import FailureCode
from tests.support.documents import document, speaker, talk
from worker.rules.document import (
    MOST_SEPARATORS,
    Broken,
    Document,
    Element,
    SourceLink,
    SourceSession,
    parse_document,
)
from worker.rules.sync_failures import SyncFailure

WHOLE = document(talk("1"), talk("2"))
BODY = json.dumps(WHOLE).encode()
HTML = b"<!DOCTYPE html>\n<html><body>Sessions</body></html>"


def read(source: JsonObject) -> Document:
    return parse_document(json.dumps(source).encode())


def with_first_session(**fields: object) -> bytes:
    return json.dumps(document(talk("1") | fields, talk("2"))).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xef\xbb\xbf" + BODY, id="byte order mark"),
        pytest.param(b"\r\n\t " + BODY + b"\n", id="white space"),
        pytest.param(b"\xef\xbb\xbf\n" + BODY, id="both"),
        pytest.param(json.dumps(WHOLE, indent=2, sort_keys=True).encode(), id="other form"),
        pytest.param(json.dumps(WHOLE | {"news": [{"a": 1}]}).encode(), id="unknown keys"),
        pytest.param(with_first_session(isConfirmed=False, isInformed=True), id="more fields"),
        pytest.param(
            json.dumps({k: WHOLE[k] for k in WHOLE if k != "questions"}).encode(),
            id="without questions",
        ),
    ],
)
def test_byte_order_mark_white_space_and_unknown_keys_are_ignored(body: bytes) -> None:
    assert parse_document(body) == parse_document(BODY)


def test_a_session_needs_no_more_than_an_id_and_a_title() -> None:
    bare = document() | {"sessions": [{"id": "1", "title": "Old"}]}

    assert read(bare).sessions == (Element(SourceSession(id="1", title="Old"), {}),)


@pytest.mark.parametrize("sessionize_id", ["1", 1, 2**31, 2**53 + 1, 2**64 + 1, "0a1b-guid"])
def test_an_id_is_a_number_of_any_size_or_a_text(sessionize_id: object) -> None:
    (session,) = read(document(talk(sessionize_id))).sessions

    assert isinstance(session, Element)
    assert session.source.id == sessionize_id


@pytest.mark.parametrize(
    ("body", "code", "retryable"),
    [
        pytest.param(b"", FailureCode.ENDPOINT_NOT_JSON, False, id="nothing"),
        pytest.param(HTML, FailureCode.ENDPOINT_NOT_JSON, False, id="HTML"),
        pytest.param(HTML * 1000, FailureCode.ENDPOINT_NOT_JSON, False, id="much HTML"),
        pytest.param(b"\xef\xbb\xbf" + HTML, FailureCode.ENDPOINT_NOT_JSON, False, id="BOM, HTML"),
        pytest.param(
            b"document.write('...');", FailureCode.ENDPOINT_NOT_JSON, False, id="JavaScript"
        ),
        pytest.param(
            b'"' + b"x" * 1023 + b'"', FailureCode.ENDPOINT_NOT_JSON, False, id="1025 bytes of text"
        ),
        pytest.param(b"not found", FailureCode.ENDPOINT_NOT_JSON, False, id="text"),
        pytest.param(b"\x1f\x8b\x08\x00", FailureCode.ENDPOINT_NOT_JSON, False, id="gzip"),
        pytest.param(
            BODY.decode().encode("utf-16"), FailureCode.ENDPOINT_NOT_JSON, False, id="UTF-16"
        ),
        pytest.param(b"null", FailureCode.UNEXPECTED_DOCUMENT, True, id="null"),
        pytest.param(b'"sessions"', FailureCode.UNEXPECTED_DOCUMENT, True, id="string"),
        pytest.param(b"42", FailureCode.UNEXPECTED_DOCUMENT, True, id="number"),
        pytest.param(b"[]", FailureCode.UNEXPECTED_DOCUMENT, True, id="array"),
        pytest.param(b"{}", FailureCode.UNEXPECTED_DOCUMENT, True, id="empty object"),
        pytest.param(b'{"message":"no"}', FailureCode.UNEXPECTED_DOCUMENT, True, id="an error"),
        pytest.param(BODY + BODY, FailureCode.UNEXPECTED_DOCUMENT, True, id="two"),
        pytest.param(BODY.replace(b",", b",,", 1), FailureCode.UNEXPECTED_DOCUMENT, True, id="bad"),
        pytest.param(
            b'{"sessions":' + b"[" * 100_000, FailureCode.UNEXPECTED_DOCUMENT, True, id="nested"
        ),
    ],
)
def test_documents_without_a_schedule_fail_with_distinct_codes(
    body: bytes, code: FailureCode, *, retryable: bool
) -> None:
    with pytest.raises(SyncFailure) as failed:
        parse_document(body, 203)

    assert (failed.value.code, failed.value.retryable) == (code, retryable)
    assert failed.value.http_status == 203


def test_a_document_has_the_status_200_unless_another_is_given() -> None:
    with pytest.raises(SyncFailure) as failed:
        parse_document(b"null")
    assert failed.value.http_status == 200


@pytest.mark.parametrize("found", [None, "none", {"1": []}])
@pytest.mark.parametrize("title", ["Talk", "cut \ud83d"])
def test_categories_that_are_no_list_are_unknown(found: object, title: str) -> None:
    body = json.dumps(document(talk("1", title=title)) | {"categories": found}).encode()

    assert parse_document(body).categories is None


@pytest.mark.parametrize("key", ["sessions", "speakers", "rooms"])
@pytest.mark.parametrize("value", [None, {}, "many"], ids=["null", "object", "text"])
def test_a_schedule_has_three_arrays(key: str, value: object) -> None:
    for source in (WHOLE | {key: value}, {k: v for k, v in WHOLE.items() if k != key}):
        with pytest.raises(SyncFailure, match=key) as failed:
            read(source)
        assert failed.value.code == FailureCode.UNEXPECTED_DOCUMENT


@pytest.mark.parametrize("cut", [1, 20, len(BODY) // 2, len(BODY) - 1])
def test_a_document_cut_off_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(SyncFailure) as failed:
        parse_document(BODY[:cut])
    assert failed.value.code == FailureCode.UNEXPECTED_DOCUMENT


@pytest.mark.parametrize(
    ("fields", "unreadable"),
    [
        ({"title": 5}, ["title"]),
        ({"startsAt": 20260528}, ["starts_at"]),
        ({"speakers": "ada"}, ["speakers"]),
        ({"roomId": []}, ["room_id"]),
        ({"id": " 1 ", "title": []}, ["title"]),
        ({"id": 1, "title": 5, "liveUrl": 5}, ["live_url", "title"]),
    ],
    ids=str,
)
def test_an_unreadable_field_affects_no_other(fields: JsonObject, unreadable: list[str]) -> None:
    broken, other = parse_document(with_first_session(**fields)).sessions
    whole, _ = parse_document(BODY).sessions

    assert isinstance(broken, Element)
    assert isinstance(whole, Element)
    assert sorted(broken.unreadable) == unreadable
    assert all(broken.unreadable.values())
    assert broken.source.description == whole.source.description
    assert isinstance(other, Element)
    assert not other.unreadable


@pytest.mark.parametrize(
    ("sessionize_id", "kind"),
    [(None, "null"), (1.0, "float"), (1.5, "float"), (True, "bool"), ([], "array")],
)
def test_an_element_without_a_readable_id_affects_no_other(
    sessionize_id: object, kind: str
) -> None:
    broken, other = parse_document(with_first_session(id=sessionize_id)).sessions

    assert broken == Broken(f"Expected `int | str`, got `{kind}`")
    assert isinstance(other, Element)


@pytest.mark.parametrize("element", [None, 1, "x", [], {}], ids=str)
def test_an_element_may_be_anything(element: object) -> None:
    document_ = read(WHOLE | {"rooms": [element], "speakers": [element, speaker("ada")]})
    broken = Broken("it has none" if element == {} else "it is not an object")

    assert document_.rooms == (broken,)
    assert document_.speakers[0] == broken
    assert isinstance(document_.speakers[1], Element)


def test_a_list_of_too_many_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.rules.document.MOST_ELEMENTS", 1_000)
    rows = [{"id": number} for number in range(1_001)]
    empty: JsonObject = {"sessions": [], "speakers": [], "rooms": []}

    assert len(read(empty | {"rooms": rows[1:]}).rooms) == 1_000
    with pytest.raises(SyncFailure, match="it lists 1,001 rooms") as failed:
        parse_document(json.dumps(empty | {"rooms": rows}).encode(), 203)
    assert (failed.value.code, failed.value.http_status) == ("unexpected_document", 203)


@pytest.mark.parametrize(
    ("more", "reason"),
    [(0, "it is cut off or damaged"), (1, "it lists far more than a conference has")],
)
def test_a_document_of_too_many_commas_is_refused_before_it_is_parsed(
    more: int, reason: str
) -> None:
    with pytest.raises(SyncFailure, match=f"not a schedule: {reason}") as failed:
        parse_document(b"{" + b"," * (MOST_SEPARATORS + more), 203)
    assert (failed.value.code, failed.value.http_status) == ("unexpected_document", 203)


@pytest.mark.parametrize("also", ["", "cut \ud83d"])
def test_invalid_utf8_breaks_only_its_field(also: str) -> None:
    body = with_first_session(title="?", description=also).replace(b'"?"', b'"\xff\xfe"')
    broken, other = parse_document(body).sessions

    assert isinstance(broken, Element)
    assert broken.unreadable.keys() == {"title"}
    assert isinstance(other, Element)
    assert not other.unreadable


@pytest.mark.parametrize("code", [0xD83D, 0xDC00, 0xDC80], ids=hex)
def test_a_lone_surrogate_is_dropped_in_any_text(code: int) -> None:
    half = chr(code)
    fields = {"id": f"{half}1", "title": f"cut {half}", "speakers": [f"a{half}da"]}
    body = json.dumps(document(talk("1") | fields, talk("2"))).encode()
    cut, other = parse_document(body).sessions

    assert isinstance(cut, Element)
    assert not cut.unreadable
    assert (cut.source.id, cut.source.title, cut.source.speakers) == ("1", "cut ", ("ada",))
    assert isinstance(other, Element)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    cut, _ = parse_document(with_first_session(title="\U0001f600 \ud83d")).sessions

    assert isinstance(cut, Element)
    assert cut.source.title == "\U0001f600 "


def test_a_field_that_is_nested_too_deep_costs_no_other() -> None:
    for depth in range(850, 1000, 10):
        deep = b"[" * depth + b"]" * depth
        body = with_first_session(liveUrl="?").replace(b'"?"', deep)
        try:
            found, other = parse_document(body).sessions
        except SyncFailure:
            break  # the document as a whole is nested too deep
        assert isinstance(found, Element)
        assert found.unreadable.keys() == {"live_url"}
        assert isinstance(other, Element)
    assert depth > 850


def test_a_lone_surrogate_in_a_link_costs_no_other_link() -> None:
    links = [{"title": "Blog", "url": "https://a.example"}, {"title": "\ud83d", "url": None}]
    body = json.dumps(document(talk("1"), speakers=[speaker("ada", links=links)])).encode()

    (found,) = parse_document(body).speakers
    assert isinstance(found, Element)
    assert found.source.links == (
        SourceLink(title="Blog", url="https://a.example"),
        SourceLink(title="", url=None),
    )
    assert found.unreadable == {}


def test_a_key_with_a_lone_surrogate_is_ignored() -> None:
    links = [{"title": "Blog", "url\ud83d": 1}]
    body = json.dumps(document(talk("1"), speakers=[speaker("ada", links=links)])).encode()

    (found,) = parse_document(body).speakers
    assert isinstance(found, Element)
    assert found.source.links == (SourceLink(title="Blog"),)


@pytest.mark.parametrize("digits", [999, 1_000, 100_000])
def test_a_number_of_many_digits_costs_only_its_field(digits: int) -> None:
    body = with_first_session(title="Half \ud83d", liveUrl="URL").replace(b'"URL"', b"1" * digits)

    (first, second) = parse_document(body).sessions
    assert isinstance(first, Element)
    assert first.source.title == "Half "
    assert list(first.unreadable) == ["live_url"]
    assert isinstance(second, Element)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"7", "Expected `object`"),
        (b'"' + b"x" * 1022 + b'"', "Expected `object`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"sessions": []}', "Object missing required field `speakers`"),
        (
            b'{"sessions": ["\\ud83d"], "speakers": 7, "rooms": []}',
            "Expected `array` - at `$.speakers`",
        ),
    ],
    ids=["number", "text of 1024 bytes", "array", "missing list", "damaged, without a list"],
)
def test_the_reason_names_the_expected_form(body: bytes, reason: str) -> None:
    with pytest.raises(SyncFailure) as caught:
        parse_document(body)

    assert caught.value.message == f"Sessionize's answer is not a schedule: {reason}."


def test_a_text_that_is_not_utf_8_is_named() -> None:
    body = with_first_session(liveUrl="URL").replace(b"URL", b"\xff")

    (first, _) = parse_document(body).sessions
    assert isinstance(first, Element)
    assert first.unreadable == {"live_url": "it is not UTF-8"}
