"""Only rooms and speakers that imported sessions refer to are imported."""

import pytest

from contracts import identity
from contracts.codec import JsonObject
from contracts.events import Link, RoomImported, SpeakerImported
from tests.support.documents import days, document, room, speaker, talk, unscheduled
from tests.support.given import EVENT, ORGANIZATION, given

ROOMS = [room(7), room(8)]
SPEAKERS = [speaker("ada"), speaker("eve")]
STAYS = talk("1")


def test_unreferenced_rooms_and_speakers_are_left_out_and_listed() -> None:
    outcome = given().when(
        document(
            STAYS,
            unscheduled("2", speakers=["eve"]),
            talk("3", "2026-06-01T09:00:00", room=9, speakers=["kim"]),
            rooms=[*ROOMS, room(9)],
            speakers=[*SPEAKERS, speaker("kim")],
        )
    )

    assert [line for line in outcome.changes if "Imported" in line] == [
        "RoomImported 7 added",
        "SpeakerImported ada added",
        "SessionImported 1 added",
    ]
    assert outcome.completed.unreferenced_rooms == ("8", "9")
    assert outcome.completed.unreferenced_speakers == ("eve", "kim")


def test_a_room_is_imported_with_all_fields() -> None:
    outcome = given().when(document(STAYS, rooms=[room(7, name=" Main\u200b Hall ", sort=3)]))

    assert outcome.the(RoomImported) == RoomImported(
        sync_id=given().command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        room_id=identity.room_id(EVENT, "7"),
        sessionize_id="7",
        name="Main Hall",
        sort=3,
        change="added",
        changed_fields=(),
    )


def test_a_speaker_is_imported_with_all_fields() -> None:
    ada = speaker(
        "ada",
        bio="Writes\r\nprograms",
        tagLine=None,
        profilePicture="https://images.example/ada.png",
        isTopSpeaker=True,
        links=[{"title": "Blog ", "url": "HTTPS://ada.example ", "linkType": "Blog"}],
    )

    assert given().when(document(STAYS, speakers=[ada])).the(SpeakerImported) == SpeakerImported(
        sync_id=given().command().sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        speaker_id=identity.speaker_id(ORGANIZATION, "ada"),
        sessionize_id="ada",
        is_top_speaker=True,
        first_name="Ada",
        last_name="Example",
        full_name="Ada Example",
        tag_line=None,
        bio="Writes\nprograms",
        profile_picture="https://images.example/ada.png",
        links=(Link(title="Blog", url="HTTPS://ada.example", link_type="Blog"),),
        change="added",
        changed_fields=(),
    )


@pytest.mark.parametrize(
    ("field", "value", "changed"),
    [
        ("firstName", "Augusta", "first_name"),
        ("lastName", "King", "last_name"),
        ("fullName", "Augusta King", "full_name"),
        ("bio", "New", "bio"),
        ("tagLine", None, "tag_line"),
        ("profilePicture", "https://images.example/new.png", "profile_picture"),
        ("isTopSpeaker", True, "is_top_speaker"),
        ("links", [{"title": "", "url": "https://ada.example", "linkType": "Blog"}], "links"),
    ],
)
def test_a_changed_speaker_is_updated_without_its_session(
    field: str, value: object, changed: str
) -> None:
    changes = (
        given(document(STAYS))
        .when(document(STAYS, speakers=[speaker("ada") | {field: value}]))
        .changes
    )

    assert changes == [f"SpeakerImported ada updated: {changed}"]


@pytest.mark.parametrize(
    ("fields", "changed"), [({"name": "Aula"}, "name"), ({"sort": 9}, "sort")], ids=str
)
def test_a_renamed_room_is_updated_without_its_session(fields: JsonObject, changed: str) -> None:
    changes = given(document(STAYS)).when(document(STAYS, rooms=[room(7) | fields])).changes

    assert changes == [f"RoomImported 7 updated: {changed}"]


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        pytest.param({"speakers": SPEAKERS, "rooms": ROOMS}, "unreferenced", id="still listed"),
        pytest.param({}, "missing_from_source", id="gone"),
    ],
)
def test_unreferenced_entities_are_withdrawn_with_the_reason(
    listed: JsonObject, reason: str
) -> None:
    moved = document(talk("1", room=8, speakers=["eve"])) | listed
    outcome = given(document(STAYS)).when(moved)

    assert outcome.changes == [
        "RoomImported 8 added",
        "SpeakerImported eve added",
        "SessionImported 1 updated: room_id, speaker_ids",
        f"SpeakerWithdrawn ada {reason}, was imported",
        f"RoomWithdrawn 7 {reason}, was imported",
    ]
    assert outcome.completed.counts.speakers.withdrawn == 1
    assert outcome.completed.counts.rooms.withdrawn == 1


def test_a_removed_speaker_is_withdrawn_and_the_co_speaker_stays() -> None:
    both = document(talk("1", speakers=["ada", "eve"]))

    assert given(both).when(document(talk("1", speakers=["eve"]))).changes == [
        "SessionImported 1 updated: speaker_ids",
        "SpeakerWithdrawn ada missing_from_source, was imported",
    ]


def test_entities_that_another_session_uses_stay() -> None:
    both = document(STAYS, talk("2", "2026-05-28T11:00:00"))

    assert given(both).when(document(STAYS)).changes == [
        "SessionWithdrawn 2 missing_from_source, was imported"
    ]


def test_a_skip_withdraws_entities_that_only_the_skipped_session_used() -> None:
    other = talk("2", "2026-05-29T11:00:00", room=8, speakers=["eve"])
    past = given(document(STAYS, other))

    assert past.when(document(STAYS, other), days(28, 28)).changes == [
        "SessionSkippedOutOfWindow 2 after_window, was imported",
        "SpeakerWithdrawn eve unreferenced, was imported",
        "RoomWithdrawn 8 unreferenced, was imported",
    ]


def test_rooms_and_speakers_that_come_back_are_restored() -> None:
    elsewhere = document(talk("1", room=8, speakers=["eve"]))
    back = document(STAYS, rooms=[room(7, name="Aula")])

    outcome = given(document(STAYS), elsewhere).when(back)
    assert outcome.changes[:2] == ["RoomImported 7 restored: name", "SpeakerImported ada restored"]
    assert outcome.completed.counts.rooms.restored == 1
    assert outcome.completed.counts.speakers.restored == 1


def test_a_person_with_two_guids_is_two_speakers() -> None:
    twice = [speaker("a1", fullName="Ada Example"), speaker("a2", fullName="Ada Example")]
    outcome = given().when(document(talk("1", speakers=["a1", "a2"]), speakers=twice))

    assert len({s.speaker_id for s in outcome.all(SpeakerImported)}) == 2


def test_a_speaker_named_twice_is_linked_once() -> None:
    outcome = given().when(document(talk("1", speakers=["ada", "ada"])))

    assert outcome.events[2] == given().when(document(STAYS)).events[2]


@pytest.mark.parametrize(
    "unreadable",
    [{"speakers": [speaker("ada", bio=1), speaker("eve")]}, {"rooms": [room(7, name=1), room(8)]}],
    ids=["speaker", "room"],
)
def test_an_unreadable_entity_does_not_count_as_missing(unreadable: JsonObject) -> None:
    moved = document(talk("1", room=8, speakers=["eve"]), speakers=SPEAKERS, rooms=ROOMS)
    changes = given(document(STAYS)).when(moved | unreadable).changes

    assert [line for line in changes if "missing_from_source" in line] == []
