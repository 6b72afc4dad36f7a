"""Topics: the items of Sessionize's categories that sessions refer to."""

import json

import msgspec
import pytest

from contracts.codec import JsonObject
from contracts.events import SessionImported, Topic
from tests.support.documents import BROKEN, category, document, item, talk
from tests.support.given import History, Outcome, given
from worker.rules.topics import MAX_TOPIC_BYTES, MAX_TOPICS

TRACK, LEVEL = category("1"), category("2", "Level")
BOTH = [TRACK, LEVEL]
DATA = Topic(category="Track", topic="Data")
WEB = Topic(category="Track", topic="Web")


def with_items(*items: object, categories: object = BOTH, **fields: object) -> JsonObject:
    """A document with one talk that refers to these items."""
    return document(talk("1", categoryItems=list(items)) | fields) | {"categories": categories}


def topics_of(outcome: Outcome) -> list[tuple[str, str]] | None:
    topics = outcome.the(SessionImported).topics
    return None if topics is None else [(found.category, found.topic) for found in topics]


def imported(*items: object, categories: object = BOTH) -> list[tuple[str, str]] | None:
    return topics_of(given().when(with_items(*items, categories=categories)))


def test_topics_are_in_the_order_in_which_the_session_lists_them() -> None:
    assert imported("22", 12, "11") == [("Level", "Web"), ("Track", "Web"), ("Track", "Data")]


@pytest.mark.parametrize("fields", [{}, {"categoryItems": None}, {"categoryItems": []}])
def test_a_session_without_items_has_no_topics(fields: JsonObject) -> None:
    assert topics_of(given().when(document(talk("1") | fields, categories=BOTH))) == []


def test_the_categories_of_speakers_are_not_topics() -> None:
    of_speakers = LEVEL | {"type": " Speaker ", "title": None}
    outcome = given().when(with_items("11", "21", categories=[TRACK, of_speakers]))

    assert topics_of(outcome) == [("Track", "Data")]
    assert outcome.warnings == []


def test_a_category_without_a_type_is_one_of_sessions() -> None:
    old = {key: value for key, value in TRACK.items() if key != "type"}

    assert imported("11", categories=[old]) == [("Track", "Data")]


def test_texts_are_cleaned_and_equal_topics_are_one() -> None:
    items = [item(1, "Big\u2028Da\x00ta"), item(2, "Big Data ")]
    untidy = category("1", " My\u2028Tra\u200bck\r", items=items)

    assert imported(1, 2, 1, categories=[untidy]) == [("My Track", "Big Data")]


def test_an_item_that_no_category_lists_is_left_out_with_a_warning() -> None:
    outcome = given().when(with_items("11", "99", 98))

    assert topics_of(outcome) == [("Track", "Data")]
    (warning,) = outcome.completed.warnings
    assert (warning.code, warning.sessionize_ids) == ("unknown_topic", ("1",))
    assert "99, 98" in warning.message


def test_the_order_of_topics_is_no_change() -> None:
    outcome = given(with_items("11", "22")).when(with_items("22", "11"))

    assert outcome.changes == []


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(with_items("11"), id="one less"),
        pytest.param(with_items("11", "22", "12"), id="one more"),
        pytest.param(with_items(), id="none"),
        pytest.param(
            with_items("11", "22", categories=[TRACK, category("2", "Levels")]), id="title"
        ),
        pytest.param(
            with_items("11", "22", categories=[TRACK, LEVEL | {"items": [item("22", "Site")]}]),
            id="name",
        ),
    ],
)
def test_another_set_of_topics_is_an_update(after: JsonObject) -> None:
    assert given(with_items("11", "22")).when(after).changes == [
        "SessionImported 1 updated: topics"
    ]


def test_other_ids_of_the_same_topics_are_no_change() -> None:
    renumbered = category("9", "Track", items=[item(901, "Data")])

    assert given(with_items("11")).when(with_items(901, categories=[renumbered])).changes == []


BAD_ITEM = {"items": [item("11", "Data"), {"name": "Web"}]}


@pytest.mark.parametrize(
    ("categories", "items"),
    [
        pytest.param(None, ["11"], id="null"),
        pytest.param("none", ["11"], id="text"),
        pytest.param({"1": TRACK}, ["11"], id="an object"),
        pytest.param([None], ["11"], id="null in place of a category"),
        pytest.param([{"title": "Track", "items": []}], ["11"], id="a category without an id"),
        pytest.param([TRACK | {"title": None}], ["11"], id="no title"),
        pytest.param([TRACK | {"title": ["Track"]}], ["11"], id="a title that is no text"),
        pytest.param([TRACK | {"title": "é" * MAX_TOPIC_BYTES}], ["11"], id="a long title"),
        pytest.param([TRACK | {"items": "Data"}], ["11"], id="items that are no list"),
        pytest.param([TRACK | {"items": [item("11", None)]}], ["11"], id="no name"),
        pytest.param([TRACK | {"items": [item("11", " ")]}], ["11"], id="an empty name"),
        pytest.param([TRACK | {"items": [item("11", 5)]}], ["11"], id="a name that is no text"),
        pytest.param([TRACK | {"items": [item("11", "x" * 1025)]}], ["11"], id="a long name"),
        pytest.param([TRACK | BAD_ITEM], ["12"], id="an item without an id"),
        pytest.param(
            [TRACK | {"type": "speaker", "items": "Data"}], ["12"], id="no list, of speakers"
        ),
    ],
)
def test_topics_stay_as_they_were_while_their_category_cannot_be_read(
    categories: object, items: list[object]
) -> None:
    outcome = given(with_items("12")).when(
        with_items(*items, categories=categories, title="Another talk")
    )

    assert outcome.the(SessionImported).topics == (WEB,)
    assert outcome.the(SessionImported).changed_fields == ("title",)
    assert [warning.code for warning in outcome.completed.warnings] == ["invalid_category"]


def test_topics_that_can_be_read_count_although_another_category_cannot() -> None:
    data = category("1", items=[item("11", "Data")])
    outcome = given(with_items("12")).when(with_items("11", categories=[LEVEL | BROKEN, data]))

    assert outcome.the(SessionImported).topics == (DATA,)
    assert outcome.warnings == ["invalid_category"]


def test_of_an_item_in_two_categories_the_first_counts() -> None:
    other = category("2", "Level", items=[item("11", "Easy")])

    assert imported("11", categories=[TRACK, other]) == [("Track", "Data")]


@pytest.mark.parametrize(
    "items",
    [
        pytest.param("11", id="a text"),
        pytest.param([None], id="a null"),
        pytest.param([["11"]], id="a list in the list"),
        pytest.param(["x" * 1001], id="a long id"),
    ],
)
def test_topics_stay_as_they_were_if_the_session_does_not_list_them_readably(
    items: object,
) -> None:
    broken = document(talk("1", title="Another talk", categoryItems=items), categories=BOTH)
    outcome = given(with_items("12")).when(broken)

    assert outcome.the(SessionImported).topics == (WEB,)
    assert outcome.warnings == ["invalid_session 1"]
    assert "topics" in outcome.completed.warnings[0].message


def test_a_new_session_whose_topics_cannot_be_read_has_unknown_topics() -> None:
    assert imported("11", categories=None) is None


def test_missing_categories_are_no_mistake_if_no_session_refers_to_one() -> None:
    bare = {key: value for key, value in with_items().items() if key != "categories"}
    outcome = given().when(bare)

    assert (topics_of(outcome), outcome.warnings) == ([], [])


@pytest.mark.parametrize(("number", "readable"), [(MAX_TOPICS, True), (MAX_TOPICS + 1, False)])
def test_a_session_has_at_most_100_topics(number: int, *, readable: bool) -> None:
    items = [item(key, f"Topic {key}") for key in range(number)]
    topics = imported(*range(number), categories=[category("1", items=items)])

    assert (topics is not None) == readable
    assert topics is None or len(topics) == number


def test_a_topic_has_at_most_1_kib() -> None:
    longest = "é" * (MAX_TOPIC_BYTES // 2)

    assert imported("1", categories=[category("1", longest, items=[item("1", longest)])]) == [
        (longest, longest)
    ]


def test_a_lone_surrogate_in_a_name_is_dropped() -> None:
    body = json.dumps(with_items("11")).replace('"Data"', '"Da\\ud83dta"').encode()

    assert topics_of(given().when(body)) == [("Track", "Data")]


def before_topics(history: History) -> History:
    """The history as a version without topics wrote it."""
    return history.edited(
        lambda event: (
            msgspec.structs.replace(event, topics=None)
            if isinstance(event, SessionImported)
            else event
        )
    )


def test_unknown_topics_equal_none_and_differ_from_some() -> None:
    without, some = with_items(), with_items("11")

    assert before_topics(given(some)).when(without).changes == []
    assert before_topics(given(without)).when(some).changes == ["SessionImported 1 updated: topics"]


def test_a_session_that_comes_back_is_restored_with_its_topics() -> None:
    other = document(talk("2"))
    history = given(document(*[talk("2")], talk("1", categoryItems=["11"]), categories=BOTH), other)
    outcome = history.when(document(talk("2"), talk("1", categoryItems=["12"]), categories=BOTH))

    assert "SessionImported 1 restored: topics" in outcome.changes
