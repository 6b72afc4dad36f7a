"""The subject of each import event."""

from contracts import samples
from contracts.events import EVENT_TYPES, SpeakerErased
from contracts.subjects import subject_of

KINDS = {
    "RoomImported": "room",
    "RoomWithdrawn": "room",
    "SessionImported": "session",
    "SessionSkippedOutOfWindow": "session",
    "SessionSkippedUnscheduled": "session",
    "SessionWithdrawn": "session",
    "SpeakerErased": "speaker",
    "SpeakerImported": "speaker",
    "SpeakerWithdrawn": "speaker",
}
RUN_EVENTS = {"SyncStarted", "RemovalsWithheld", "SyncCompleted", "SyncFailed"}


def test_every_event_type_is_about_an_entity_or_about_a_run() -> None:
    assert KINDS.keys() | RUN_EVENTS == EVENT_TYPES.keys()
    found = {type(event).__name__: subject_of(event) for event in samples.EVENTS}
    kinds = {name: subject.kind for name, subject in found.items() if subject is not None}
    assert kinds == KINDS


def test_the_subject_has_the_ids_and_the_name_of_its_event() -> None:
    for event in samples.EVENTS:
        if (subject := subject_of(event)) is None:
            continue
        assert subject.id == getattr(event, f"{subject.kind}_id")
        assert subject.sessionize_id == getattr(event, "sessionize_id", None)
        names = [getattr(event, field, "") for field in ("title", "full_name", "name")]
        assert subject.name == "".join(names)


def test_an_erasure_names_our_id_only() -> None:
    (erased,) = (event for event in samples.EVENTS if isinstance(event, SpeakerErased))
    assert subject_of(erased) == ("speaker", erased.speaker_id, None, "")
