"""A GUID is one id in any case; what a stream knows keeps its spelling."""

import json
from typing import Any

import msgspec
import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import ImportEvent, SessionImported, SpeakerImported
from tests.support.documents import WINDOW, document, room, speaker, talk
from tests.support.given import EVENT, ORGANIZATION, given, schedule_of
from worker.rules.reading import read_document
from worker.rules.settle import respelled
from worker.rules.spelling import (
    canonical_id,
    erased_in_any_spelling,
    known_spellings,
    spellings_of,
)
from worker.rules.state import State
from worker.rules.window import zone_of

GUID = "abcdef00-0000-4000-8000-00000000abcd"
UPPER = GUID.upper()
MIXED = GUID.title()


def source(guid: str, **fields: object) -> JsonObject:
    return document(talk(guid, speakers=[guid], room=guid) | fields)


def in_upper_case(event: ImportEvent) -> ImportEvent:
    """An event as a version without the rule stored it."""
    if isinstance(event, SessionImported):
        id_ = identity.session_id(EVENT, UPPER)
        return msgspec.structs.replace(
            event,
            sessionize_id=UPPER,
            session_id=id_,
            session_code=identity.session_code(id_),
            room_id=identity.room_id(EVENT, UPPER),
            speaker_ids=(identity.speaker_id(ORGANIZATION, UPPER),),
        )
    if isinstance(event, SpeakerImported):
        id_ = identity.speaker_id(ORGANIZATION, UPPER)
        return msgspec.structs.replace(event, sessionize_id=UPPER, speaker_id=id_)
    if hasattr(event, "room_id"):
        id_ = identity.room_id(EVENT, UPPER)
        return msgspec.structs.replace(event, sessionize_id=UPPER, room_id=id_)
    return event


def test_only_a_guid_has_a_canonical_spelling() -> None:
    assert canonical_id(UPPER) == canonical_id(MIXED) == GUID
    assert canonical_id("ABC") == "ABC"
    assert canonical_id(UPPER + "0") == UPPER + "0"


def test_a_guid_is_looked_for_in_each_case() -> None:
    assert list(spellings_of(MIXED)) == [MIXED, GUID, UPPER]
    assert list(spellings_of("Ada")) == ["Ada"]


def test_an_earlier_spelling_that_is_known_is_kept_with_its_code() -> None:
    stored = given(source(GUID)).edited(in_upper_case)
    names = {"rooms": [room(GUID, name=f"Room {GUID}")], "speakers": [speaker(GUID)]}

    for spelled in (GUID, UPPER, MIXED):
        outcome = stored.when(source(spelled, title="New") | names)
        assert outcome.changes == [f"SessionImported {UPPER} updated: title"]
        session = outcome.the(SessionImported)
        assert session.session_id == identity.session_id(EVENT, UPPER)


def test_ids_that_are_not_guids_stay_next_to_a_respelled_one() -> None:
    stored = given(source(GUID)).edited(in_upper_case)
    rooms = [room(GUID), room("aula")]
    both = document(
        talk(GUID, speakers=[GUID], room=GUID),
        talk("1", speakers=["ada"], room="aula"),
        rooms=rooms,
    )

    assert [line for line in stored.when(both).changes if "added" in line] == [
        "RoomImported aula added",
        "SpeakerImported ada added",
        "SessionImported 1 added",
    ]


def test_a_shown_spelling_takes_precedence_over_an_earlier_one() -> None:
    assert known_spellings([UPPER], [MIXED]) == {GUID: UPPER}
    assert known_spellings([UPPER, GUID]) == {}


def test_two_elements_that_differ_only_in_case_are_one_id_twice() -> None:
    outcome = given().when(document(talk(GUID), talk(UPPER)))

    assert outcome.the(SessionImported).sessionize_id == GUID
    assert outcome.warnings == [f"duplicate_session {GUID}"]


def test_a_warning_of_the_document_names_the_id_in_the_spelling_of_the_stream() -> None:
    stored = given(source(GUID)).edited(in_upper_case)
    twice = document(talk(GUID, speakers=[GUID], room=GUID), talk(MIXED, speakers=[], room=GUID))

    assert stored.when(twice).warnings == [f"duplicate_session {UPPER}"]


@pytest.mark.parametrize("spelled", [GUID, UPPER, MIXED])
def test_an_earlier_spelling_keeps_the_last_value_of_an_unreadable_field(spelled: str) -> None:
    stored = given(source(GUID)).edited(in_upper_case)
    damaged = {
        "rooms": [room(spelled, name=f"Room {GUID}", sort="1")],
        "speakers": [speaker(spelled, bio=7)],
    }
    rows = source(spelled, title=f"Talk {GUID}", description=7)

    assert stored.when(rows | damaged).changes == []


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        *(("sessions", "sessions"), ("skipped", "sessions"), ("past_sessions", "sessions")),
        *(("rooms", "rooms"), ("past_rooms", "rooms")),
        *(("speakers", "speakers"), ("past_speakers", "speakers")),
    ],
)
def test_each_part_of_the_state_knows_the_spellings_of_its_kind(part: str, kind: str) -> None:
    schedule = schedule_of(source(GUID))
    known: dict[str, Any] = {part: {UPPER: getattr(schedule, kind)[GUID]}}
    found = respelled(State(**known), schedule, given().command())

    assert {name: list(getattr(found, name)) for name in ("sessions", "rooms", "speakers")} == (
        {"sessions": [GUID], "rooms": [GUID], "speakers": [GUID], kind: [UPPER]}
    )


def test_an_unreadable_session_has_the_spelling_of_the_stream() -> None:
    schedule = schedule_of(source(GUID, title=None))
    found = respelled(given(source(GUID)).edited(in_upper_case).state, schedule, given().command())

    assert found.invalid_sessions == {UPPER}
    assert found.invalid_fields == {UPPER: ("title",)}


def test_the_spelling_of_a_speaker_is_remembered_where_it_is_not_ours() -> None:
    rows = [speaker("ada"), speaker(MIXED)]

    assert schedule_of(document(talk("1"), speakers=rows)).speaker_spellings == {MIXED}


def test_an_erased_speaker_has_no_readings() -> None:
    rows = [speaker("ada"), speaker("ada", bio="Bio"), speaker("eve", bio=7)]
    ids = frozenset({identity.speaker_id(ORGANIZATION, "ada")})
    schedule = schedule_of(document(talk("1"), speakers=rows), erased=ids)

    assert list(schedule.speaker_readings) == ["eve"]
    assert (schedule.speakers["ada"].bio, schedule.speakers["eve"].full_name) == (
        None,
        "Eve Example",
    )


@pytest.mark.parametrize(("erased", "named"), [("ada", True), ("eve", False)])
def test_a_reading_reports_whether_it_names_an_erased_speaker(erased: str, *, named: bool) -> None:
    reading = read_document(
        json.dumps(document(talk("1"))).encode(),
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        zone=zone_of(WINDOW),
        erased=frozenset({identity.speaker_id(ORGANIZATION, erased)}),
    )

    assert reading.names_erased is named


def test_a_speaker_is_erased_if_any_spelling_is() -> None:
    for erased in (GUID, UPPER, MIXED):
        ids = {identity.speaker_id(ORGANIZATION, erased)}
        for spelled in (GUID, UPPER, MIXED):
            if erased == MIXED != spelled:
                continue  # the document alone does not show the spelling of an erased id
            found = schedule_of(source(spelled), erased=ids).speakers[GUID]
            assert (found.full_name, found.links) == (None, None)


def test_a_spelling_that_the_stream_knows_is_erased_in_every_document() -> None:
    ids = {identity.speaker_id(ORGANIZATION, MIXED)}
    erased = erased_in_any_spelling(ids, [MIXED, "ada"], ORGANIZATION)

    assert schedule_of(source(GUID), erased=erased).speakers[GUID].full_name is None
    assert schedule_of(document(talk("1")), erased=erased).speakers["ada"].full_name is not None
