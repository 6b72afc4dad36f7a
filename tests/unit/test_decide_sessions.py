"""Sessions: added, updated, unchanged, withdrawn, restored, repeated."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import ImportEvent, SessionImported, SyncCompleted
from tests.support.documents import days, document, room, speaker, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, RequestOptions, given

ONE = document(talk("1"))


def test_a_first_import_adds_rooms_and_speakers_before_the_sessions_that_refer_to_them() -> None:
    assert given().when(ONE).changes == [
        "RoomImported 7 added",
        "SpeakerImported ada added",
        "SessionImported 1 added",
    ]


def test_a_session_is_imported_with_all_fields() -> None:
    source = document(
        talk(
            "1",
            "2026-05-28T09:00:00",
            "2026-05-28T10:30:00",
            speakers=["eve", "ada"],
            title=" Kafka \r\n",
            description="Line\r\nby line",
            isPlenumSession=True,
            liveUrl="https://live.example/1",
            recordingUrl="https://recording.example/1",
        )
    )

    session_id = identity.session_id(EVENT, "1")
    assert given().when(source).the(SessionImported) == SessionImported(
        sync_id=given().command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        session_id=session_id,
        session_code=identity.session_code(session_id),
        sessionize_id="1",
        title="Kafka",
        abstract="Line\nby line",
        room_id=identity.room_id(EVENT, "7"),
        starts_at=datetime(2026, 5, 28, 7, tzinfo=UTC),
        ends_at=datetime(2026, 5, 28, 8, 30, tzinfo=UTC),
        is_service_session=False,
        is_plenum_session=True,
        live_url="https://live.example/1",
        recording_url="https://recording.example/1",
        speaker_ids=(
            identity.speaker_id(ORGANIZATION, "eve"),
            identity.speaker_id(ORGANIZATION, "ada"),
        ),
        topics=(),
        change="added",
        changed_fields=(),
    )


def test_service_sessions_and_talks_without_speakers_are_imported_with_their_flags() -> None:
    lunch = talk("0a1b-guid", speakers=[], isServiceSession=True)
    outcome = given().when(document(lunch, talk("2", "2026-05-28T11:00:00", speakers=[])))

    flags = [(s.is_service_session, s.speaker_ids) for s in outcome.all(SessionImported)]
    assert flags == [(True, ()), (False, ())]


TWO = document(
    talk("1", speakers=["ada", "eve"]), talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"])
)


def reversed_arrays(source: JsonObject) -> JsonObject:
    return {key: value[::-1] for key, value in source.items() if isinstance(value, list)}


def with_session_fields(**fields: object) -> JsonObject:
    return document(
        talk("1", speakers=["ada", "eve"]) | fields,
        talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"]),
    )


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(TWO, id="the same"),
        pytest.param(json.dumps(TWO, indent=4).encode("utf-8-sig"), id="other bytes"),
        pytest.param(reversed_arrays(TWO), id="arrays in another order"),
        pytest.param(with_session_fields(speakers=["eve", "ada"]), id="speakers reordered"),
        pytest.param(with_session_fields(isConfirmed=False, isInformed=True), id="confirmation"),
        pytest.param(with_session_fields(questionAnswers=[{"id": 1}]), id="answers"),
        pytest.param(with_session_fields(categoryItems=[]), id="no topics"),
        pytest.param(with_session_fields(title=" Talk\u200b 1\r\n"), id="invisible text"),
        pytest.param(
            with_session_fields(startsAt="2026-05-28T07:00:00Z", endsAt="2026-05-28T07:45:00Z"),
            id="UTC notation",
        ),
        pytest.param(
            with_session_fields(startsAt="2026-05-28T09:00:00.0000000+02:00"), id="offset notation"
        ),
        pytest.param(with_session_fields(roomId="7", id=1), id="ids as numbers or text"),
    ],
)
def test_a_repeated_document_gives_only_the_outcome(again: JsonObject | bytes) -> None:
    outcome = given(TWO).when(again)

    assert [type(event) for event in outcome.events] == [SyncCompleted]
    assert outcome.completed.counts.sessions.unchanged == 2


@pytest.mark.parametrize(
    ("field", "value", "changed"),
    [
        ("title", "Another talk", "title"),
        ("description", None, "abstract"),
        ("startsAt", "2026-05-28T09:05:00", "starts_at"),
        ("endsAt", "2026-05-28T10:00:00", "ends_at"),
        ("roomId", 8, "room_id"),
        ("isServiceSession", True, "is_service_session"),
        ("isPlenumSession", True, "is_plenum_session"),
        ("liveUrl", "https://live.example", "live_url"),
        ("recordingUrl", "https://recording.example", "recording_url"),
        ("speakers", ["ada", "eve"], "speaker_ids"),
        ("speakers", [], "speaker_ids"),
    ],
)
def test_a_visible_change_is_an_update_naming_the_field(
    field: str, value: object, changed: str
) -> None:
    both = {"rooms": [room(7), room(8)], "speakers": [speaker("ada"), speaker("eve")]}
    outcome = given(ONE | both).when(document(talk("1") | {field: value}) | both)

    assert f"SessionImported 1 updated: {changed}" in outcome.changes
    assert outcome.completed.counts.sessions.updated == 1


def test_several_changed_fields_are_named_in_the_order_of_the_contract() -> None:
    outcome = given(ONE).when(document(talk("1", "2026-05-29T09:00:00", title="Moved")))

    assert outcome.changes == ["SessionImported 1 updated: title, starts_at, ends_at"]


def test_an_update_shows_the_speakers_in_their_new_order() -> None:
    outcome = given(TWO).when(with_session_fields(speakers=["eve", "ada"], title="New"))

    assert outcome.changes == ["SessionImported 1 updated: title"]
    assert outcome.the(SessionImported).speaker_ids == tuple(
        identity.speaker_id(ORGANIZATION, key) for key in ("eve", "ada")
    )


def test_a_session_stored_by_an_older_text_rule_is_unchanged() -> None:
    def untidy(event: ImportEvent) -> ImportEvent:
        if not isinstance(event, SessionImported):
            return event
        return msgspec.structs.replace(event, title="\ufeffTalk 1 ", abstract="About\u200b it.\r\n")

    assert given(ONE).edited(untidy).when(ONE).changes == []


def test_a_missing_session_is_withdrawn_with_the_entities_only_it_used() -> None:
    rest = document(talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"]))

    assert given(TWO).when(rest).changes == [
        "SessionWithdrawn 1 missing_from_source, was imported",
        "SpeakerWithdrawn ada missing_from_source, was imported",
        "RoomWithdrawn 7 missing_from_source, was imported",
    ]


def test_a_withdrawal_is_emitted_once() -> None:
    rest = document(talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"]))

    assert given(TWO, rest).when(rest).changes == []


def test_a_session_that_comes_back_is_restored_with_its_id_and_code() -> None:
    rest = document(talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"]))
    first = given().when(ONE).the(SessionImported)
    outcome = given(ONE, rest).when(document(talk("1", title="It is back")))

    back = outcome.the(SessionImported)
    assert "SessionImported 1 restored: title" in outcome.changes
    assert (back.session_id, back.session_code) == (first.session_id, first.session_code)
    assert outcome.completed.counts.sessions.restored == 1


def test_a_session_that_returns_unchanged_is_restored_without_changed_fields() -> None:
    other = document(talk("2"))

    assert "SessionImported 1 restored" in given(ONE, other).when(ONE).changes


def test_force_repeats_every_entity_that_did_not_change() -> None:
    past = given(TWO, with_session_fields(id="9"))
    outcome = past.when(document(*_sessions_with_new_title()), options=RequestOptions(force=True))

    assert outcome.changes == [
        "RoomImported 7 repeated",
        "RoomImported 8 repeated",
        "SpeakerImported ada repeated",
        "SpeakerImported eve repeated",
        "SessionImported 1 restored",
        "SessionImported 2 updated: title",
        "SessionImported 9 repeated",
    ]
    assert outcome.completed.counts.sessions.repeated == 1
    assert outcome.completed.counts.rooms.repeated == 2


def _sessions_with_new_title() -> list[JsonObject]:
    return [
        talk("1", speakers=["ada", "eve"]),
        talk("2", "2026-05-28T11:00:00", room=8, speakers=["eve"], title="New"),
        talk("9", speakers=["ada", "eve"]) | {"title": "Talk 1"},
    ]


def test_force_does_not_repeat_skips() -> None:
    source = document(talk("1"), unscheduled("2"), talk("3", "2026-05-30T09:00:00"))

    changes = given(source).when(source, options=RequestOptions(force=True)).changes
    assert [line for line in changes if "Skipped" in line] == []


def test_several_events_may_share_a_source_each_with_its_own_days() -> None:
    source = document(talk("1", "2026-05-28T09:00:00"), talk("2", "2026-05-29T09:00:00"))

    first = given().when(source, days(28, 28)).all(SessionImported)
    second = given().when(source, days(29, 29)).all(SessionImported)
    assert [s.sessionize_id for s in (*first, *second)] == ["1", "2"]
