"""The warnings of a run as the organiser reads them: whole sentences with names and numbers."""

import pytest

from contracts.codec import JsonObject
from contracts.events import SyncWarning
from tests.support.documents import (
    BROKEN,
    category,
    days,
    document,
    item,
    room,
    speaker,
    talk,
)
from tests.support.given import History, RequestOptions, given

LATE = "2026-05-28T11:00:00"
YEAR_BEFORE = "2025-05-28T09:00:00"


def talks(number: int, *, first: int = 1) -> list[JsonObject]:
    return [
        talk(str(n), f"2026-05-28T{n % 24:02}:00:00", room=n) for n in range(first, first + number)
    ]


def warning(history: History, source: JsonObject, api_id: str = "abcd1234") -> SyncWarning:
    """The only warning of one more run."""
    (found,) = history.when(source, options=RequestOptions(api_id=api_id)).completed.warnings
    return found


@pytest.mark.parametrize(
    ("warns", "source", "text"),
    [
        (
            "duplicate_session 1",
            document(talk("1"), talk("1", LATE)),
            "Sessionize lists the session 1 more than once. The one that is imported already "
            "counts, else the first.",
        ),
        (
            "invalid_session 1",
            document(talk("1") | BROKEN, talk("2")),
            "The session 1 cannot be read completely: title (it has none). If it is in the "
            "schedule and within the dates, its last version stays.",
        ),
        (
            "invalid_session",
            document(talk(""), talk("2")),
            "A session without a readable id is ignored: it is empty or too long.",
        ),
        (
            "invalid_room",
            document(talk("1"), rooms=[room(7), {}]),
            "A room without a readable id is ignored: it has none.",
        ),
        (
            "invalid_room 7",
            document(talk("1"), rooms=[room(7, name=None)]),
            "The room 7 cannot be read completely: name (it has none). What cannot be read keeps "
            "its last value.",
        ),
        (
            "invalid_speaker ada",
            document(talk("1"), speakers=[speaker("ada", bio=7, tagLine=[])]),
            "The speaker ada cannot be read completely: bio (Expected `str | null`, got `int`), "
            "tag_line (Expected `str | null`, got `array`). What cannot be read keeps its last "
            "value.",
        ),
        (
            "unknown_room 1",
            document(talk("1", room=8), talk("2"), rooms=[room(7)]),
            "“Talk 1” refers to a room that the schedule does not contain: 8.",
        ),
        (
            "unknown_speaker 1",
            document(talk("1", speakers=["bob", "cleo"]), speakers=[]),
            "“Talk 1” refers to a speaker that the schedule does not contain: bob, cleo.",
        ),
        (
            "unknown_topic 1",
            document(talk("1", categoryItems=["98", "99"]), categories=[category("1")]),
            "“Talk 1” refers to a topic that the schedule does not contain: 98, 99.",
        ),
        (
            "room_double_booked 1 2",
            document(talk("1"), talk("2"), rooms=[room(7, name="Aula")]),
            "“Talk 1” and “Talk 2” overlap in the room Aula.",
        ),
        (
            "session_not_accepted 1",
            document(talk("1", status="Waitlisted")),
            "“Talk 1” is imported, although its status in Sessionize is Waitlisted. If it should "
            "not be, exclude it by the filter of the endpoint.",
        ),
        (
            "session_ends_before_it_starts 1",
            document(talk("1", LATE, "2026-05-28T10:00:00")),
            "“Talk 1” ends before it starts. Correct its time in Sessionize.",
        ),
        (
            "no_session_in_window",
            document(talk("1", YEAR_BEFORE), talk("2", YEAR_BEFORE)),
            "None of the 2 sessions starts within the event's dates. Compare the dates of the "
            "event in SpreaView with the schedule in Sessionize.",
        ),
    ],
)
def test_a_defect_of_the_document_is_explained(warns: str, source: JsonObject, text: str) -> None:
    found = warning(given(), source)

    assert " ".join((found.code, *found.sessionize_ids)) == warns
    assert found.message == text


NAMELESS = [item("11", None), item("12", "x" * 1025), item("13", 7), item("", "Web"), {}]
OF_ITEMS = (
    "the name of the item 11 (it has none); the name of the item 12 (it is longer than 1024 "
    "bytes); the name of the item 13 (Expected `str | null`, got `int`)",
    "the id of an item (it is empty or too long); the id of an item (it has none)",
)


@pytest.mark.parametrize(
    ("found", "what", "reasons"),
    [
        (None, "A category", "it is not an object"),
        (category("1", None), "The category 1", "title (it has none)"),
        (category("1", 7), "The category 1", "title (Expected `str | null`, got `int`)"),
        (category("", None), "The category with an unusable id", "title (it has none)"),
        (category("1", items=NAMELESS[:3]), "The category 1", OF_ITEMS[0]),
        (category("1", items=NAMELESS[3:]), "The category 1", OF_ITEMS[1]),
    ],
)
def test_a_damaged_category_is_explained(found: object, what: str, reasons: str) -> None:
    text = warning(given(), document(talk("1"), categories=[found])).message

    assert text == (
        f"{what} cannot be read completely: {reasons}. Sessions whose topics depend on it keep "
        "their last topics."
    )


def test_missing_categories_are_explained() -> None:
    source = document(talk("1", categoryItems=["11"])) | {"categories": None}

    assert warning(given(), source).message == (
        "The categories cannot be read, or are missing: all topics stay as they were."
    )


def test_another_api_id_is_explained() -> None:
    found = warning(given(document(*talks(2))), document(*talks(1)), api_id="efgh5678")

    assert found.code == "source_changed"
    assert found.message == (
        "The API ID is not that of the last sync. Sessions missing from the new schedule were "
        "removed without confirmation."
    )


def test_held_sessions_are_named_with_their_confirmation() -> None:
    found = warning(given(document(*talks(10))), document(*talks(4)))

    assert (found.code, found.sessionize_ids) == (
        "removals_withheld",
        ("10", "5", "6", "7", "8", "9"),
    )
    assert found.message == (
        "6 of 10 sessions are gone from the schedule in Sessionize; 6 of them are kept for now, "
        "since that many at once look like a mistake. To remove them, sync again and confirm 6 "
        "removals (allow_removals: 6)."
    )


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (1, "1 imported session left the schedule because the dates changed."),
        (2, "2 imported sessions left the schedule because the dates changed."),
    ],
)
def test_moved_dates_are_explained(left: int, text: str) -> None:
    source = document(
        *(talk(str(n), f"2026-05-28T1{n}:00:00") for n in range(left)),
        talk("last", "2026-05-29T09:00:00"),
    )
    (found,) = given(source).when(source, days(29, 29)).completed.warnings

    assert (found.code, found.message) == ("window_changed", text)
