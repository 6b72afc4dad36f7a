"""Every event of an import fits into a Kafka record, for every document."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from contracts import identity
from contracts.canonical import canonical
from contracts.codec import JsonObject
from contracts.events import RemovalsWithheld, SyncCompleted
from tests.support.documents import document, room, speaker, talk
from tests.support.given import EVENT, SOURCE, Outcome, given, schedule_of
from worker.rules.bytes_of_json import cut, in_parts, json_bytes
from worker.rules.decide import UNREFERENCED_BYTES, decide
from worker.rules.state import fold
from worker.rules.warnings import MOST_BYTES as MOST_BYTES_OF_WARNINGS

MOST_BYTES = 1_000_000
"""The default limit of a broker is a little more than a million bytes."""

LONG = "t" * 65_000
LINKS = [{"title": "Blog", "url": f"https://{LONG}.example", "linkType": "Blog"}] * 20


def long_titles() -> JsonObject:
    """Sixty overlapping talks, each with a title of nearly 64 KiB."""
    until = "2026-05-28T10:00:00"
    return document(*(talk(str(number), until=until, title=LONG) for number in range(60)))


def many_links() -> JsonObject:
    return document(talk("1"), speakers=[speaker("ada", links=LINKS)])


def many_unreferenced() -> JsonObject:
    """A document with many speakers who have no session."""
    others: list[JsonObject] = [
        {"id": f"0a1b2c3d-4e5f-4a6b-8c7d-{number:012}"} for number in range(30_000)
    ]
    return document(talk("1"), speakers=[speaker("ada"), *others])


def long_ids() -> JsonObject:
    """Ids as long as they may be, in warnings, references and unreferenced rooms."""
    ids = [f"{number:04}" + "i" * 990 for number in range(1000)]
    talks = [talk(key, speakers=[f"?{key}"], room=7, title=LONG) for key in ids[:300]]
    return document(*talks, rooms=[room(7), *(room(key) for key in ids)], speakers=[])


def everything_once() -> JsonObject:
    """One session with the longest allowed texts."""
    texts = dict.fromkeys(("title", "description", "liveUrl", "recordingUrl"), LONG)
    ada = dict.fromkeys(("firstName", "lastName", "fullName", "tagLine", "bio"), LONG)
    return document(talk("1") | texts, speakers=[speaker("ada") | ada], rooms=[room(7, name=LONG)])


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(made(), id=made.__name__)
        for made in (everything_once, long_titles, long_ids, many_links, many_unreferenced)
    ],
)
def test_every_event_fits_into_a_record(source: JsonObject) -> None:
    sizes = [len(canonical(event)) for event in given().when(source).events]

    assert max(sizes) < MOST_BYTES


def test_lists_for_people_are_cut_and_give_the_number() -> None:
    completed = given().when(long_ids()).completed

    listed = completed.unreferenced_rooms
    assert len(canonical(listed)) <= UNREFERENCED_BYTES
    assert completed.unreferenced_rooms_total == 1000 > len(listed) > 10
    assert len(msgspec.json.encode(completed.warnings)) < MOST_BYTES_OF_WARNINGS + 10_000
    (rest,) = [w.message for w in completed.warnings if w.message.startswith("… and ")][:1]
    assert "more like this" in rest


@pytest.mark.parametrize(
    ("most", "parts"),
    [
        pytest.param(15, [("aa", "bb", "cc")], id="all fit"),
        pytest.param(14, [("aa", "bb"), ("cc",)], id="one byte too few"),
        pytest.param(10, [("aa", "bb"), ("cc",)], id="two fit"),
        pytest.param(9, [("aa",), ("bb",), ("cc",)], id="one fits"),
        pytest.param(4, [("aa",), ("bb",), ("cc",)], id="none fits"),
    ],
)
def test_a_list_is_split_by_its_size_as_json(most: int, parts: list[tuple[str, ...]]) -> None:
    assert json_bytes("aa") == len(b'"aa",')
    assert list(in_parts(["aa", "bb", "cc"], most)) == parts
    assert cut(["aa", "bb", "cc"], most) == parts[0]


def test_an_empty_list_has_no_parts() -> None:
    assert list(in_parts([], 9)) == []
    assert cut([], 9) == ()


HELD = 50_000


def test_fifty_thousand_held_sessions_stay_held_over_ten_runs_in_small_records() -> None:
    stays = document(talk("stays"))
    history = given(stays)
    state = history.state
    hall = state.sessions["stays"]
    for number in range(HELD):
        key = f"{number:05}"
        state.sessions[key] = msgspec.structs.replace(
            hall,
            sessionize_id=key,
            session_id=identity.session_id(EVENT, key),
            starts_at=hall.starts_at + timedelta(seconds=number % 3600),
        )
    schedule = schedule_of(stays)

    for number in range(10):
        command = history.command()._replace(sync_id=UUID(int=2 + number))
        outcome = Outcome(decide(state, schedule, command, SOURCE, 3))
        parts = outcome.all(RemovalsWithheld)
        assert (len(parts) > 1) == (number == 0)
        assert max(len(canonical(event)) for event in outcome.events) < MOST_BYTES
        assert outcome.completed.counts.sessions.withheld == HELD
        assert len(outcome.completed.withheld) == 100
        assert all(held.title for held in outcome.completed.withheld)
        state = fold(outcome.events, state)
        assert len(state.withheld) == HELD

    back = document(talk("stays"), *(talk(f"{n:05}", room=7) for n in range(20)))
    some_back = Outcome(
        decide(
            state, schedule_of(back), history.command()._replace(sync_id=UUID(int=99)), SOURCE, 3
        )
    )
    assert isinstance(some_back.events[-1], SyncCompleted)
    assert len(fold(some_back.events, state).withheld) == HELD - 20
