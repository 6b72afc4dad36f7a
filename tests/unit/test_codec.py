"""Splitting events for the log, joining them again, and upcasting old events."""

from datetime import datetime, timedelta, timezone
from typing import get_args
from uuid import uuid5

import msgspec
import pytest

from contracts import samples
from contracts.canonical import canonical
from contracts.codec import (
    PERSONAL_FIELDS,
    SCHEMA_VERSIONS,
    UPCASTERS,
    JsonObject,
    PlainEvent,
    UnknownEventError,
    cloudevent_type,
    dataschema,
    join,
    kebab,
    take_apart,
    to_event,
    upcast,
)
from contracts.events import EVENT_TYPES, ImportEvent, SpeakerImported

SAMPLES = {type(event).__name__: event for event in samples.EVENTS}
every_event = pytest.mark.parametrize("event", samples.EVENTS, ids=lambda e: type(e).__name__)


def joined(plain: PlainEvent, *, erased: bool = False) -> JsonObject:
    personal = plain.personal.body.decode() if plain.personal and not erased else None
    return join(plain.type, plain.schema_version, canonical(plain.data).decode(), personal)


def test_there_is_a_sample_of_every_event() -> None:
    assert set(SAMPLES) == set(EVENT_TYPES) == {t.__name__ for t in get_args(ImportEvent)}


@every_event
def test_an_event_is_equal_after_storing_and_reading(event: ImportEvent) -> None:
    plain = take_apart(event)

    assert to_event(plain.type, joined(plain)) == event


@every_event
def test_joined_data_equal_the_event_as_json(event: ImportEvent) -> None:
    assert joined(take_apart(event)) == msgspec.json.decode(msgspec.json.encode(event))


def test_the_personal_fields_of_every_event() -> None:
    assert PERSONAL_FIELDS == {
        "SyncStarted": ("requested_by",),
        "SpeakerImported": (
            "first_name",
            "last_name",
            "full_name",
            "tag_line",
            "bio",
            "profile_picture",
            "links",
        ),
    }


@pytest.mark.parametrize("name", PERSONAL_FIELDS)
def test_personal_fields_are_never_in_the_plain_data(name: str) -> None:
    event = SAMPLES[name]
    stored = canonical(take_apart(event).data).decode()

    for field in PERSONAL_FIELDS[name]:
        value = getattr(event, field)
        assert value
        assert f'"{field}":' not in stored
        assert canonical(value).decode() not in stored


@pytest.mark.parametrize("name", PERSONAL_FIELDS)
def test_personal_fields_are_null_after_an_erasure(name: str) -> None:
    whole = joined(take_apart(SAMPLES[name]), erased=True)

    assert {field: whole[field] for field in PERSONAL_FIELDS[name]} == dict.fromkeys(
        PERSONAL_FIELDS[name]
    )
    without = msgspec.structs.replace(SAMPLES[name], **dict.fromkeys(PERSONAL_FIELDS[name]))
    assert to_event(name, whole) == without


def test_the_digest_of_the_personal_data_is_not_part_of_the_event() -> None:
    plain = take_apart(SAMPLES["SpeakerImported"])
    with_digest = plain._replace(data=plain.data | {"personal": {"digest": "00"}})

    assert joined(with_digest) == joined(plain)


def test_a_speaker_is_the_subject_of_their_own_data() -> None:
    event = SAMPLES["SpeakerImported"]
    personal = take_apart(event).personal

    assert isinstance(event, SpeakerImported)
    assert personal is not None
    assert personal.subject == event.speaker_id
    assert personal.body == canonical(msgspec.json.decode(personal.body))


def test_a_requester_is_one_subject_within_an_organization() -> None:
    personal = take_apart(SAMPLES["SyncStarted"]).personal

    assert personal is not None
    assert personal.subject == uuid5(samples.ORGANIZATION, "Ada Example")
    assert personal.body == b'{"requested_by":"Ada Example"}'


@every_event
def test_without_a_personal_field_there_are_no_personal_data(event: ImportEvent) -> None:
    fields = PERSONAL_FIELDS.get(type(event).__name__, ())
    plain = take_apart(msgspec.structs.replace(event, **dict.fromkeys(fields)))

    assert plain.personal is None


@every_event
def test_fields_of_a_later_version_are_ignored(event: ImportEvent) -> None:
    name = type(event).__name__

    assert to_event(name, msgspec.to_builtins(event) | {"colour": "blue"}) == event


# The upcasters and versions of a program that writes version 3 of RoomImported.
CURRENT = {**SCHEMA_VERSIONS, "RoomImported": 3}
MADE_UP = {
    ("RoomImported", 1): lambda data: {**data, "floor": len(str(data["name"]))},
    ("RoomImported", 2): lambda data: (
        {k: v for k, v in data.items() if k != "floor"} | {"storey": data["floor"]}
    ),
}


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, {"name": "Aula"}),
        (2, {"name": "Aula", "floor": 4}),
        (3, {"name": "Aula", "storey": 4}),
    ],
)
def test_an_old_event_is_upcast_version_by_version(version: int, data: JsonObject) -> None:
    before = dict(data)

    assert upcast("RoomImported", version, data, MADE_UP, CURRENT) == {"name": "Aula", "storey": 4}
    assert data == before


def test_an_upcaster_does_not_change_other_events() -> None:
    data: JsonObject = {"name": "Aula"}

    assert upcast("RoomWithdrawn", 1, data, MADE_UP, CURRENT) == data


@pytest.mark.parametrize(
    ("name", "version"),
    [("RoomImported", 4), ("RoomImported", 0), ("RoomImported", -1), ("RoomPainted", 1)],
)
def test_an_event_of_a_newer_program_is_refused(name: str, version: int) -> None:
    with pytest.raises(UnknownEventError, match=f"{name} v{version}.*Remedy"):
        upcast(name, version, {}, MADE_UP, CURRENT)


def test_joining_refuses_a_newer_version() -> None:
    with pytest.raises(UnknownEventError):
        join("RoomImported", SCHEMA_VERSIONS["RoomImported"] + 1, "{}", None)


def test_every_older_version_has_its_upcaster() -> None:
    older = {(name, n) for name, newest in SCHEMA_VERSIONS.items() for n in range(1, newest)}

    assert set(UPCASTERS) == older


@pytest.mark.parametrize(
    ("name", "in_kebab"),
    [
        ("SyncStarted", "sync-started"),
        ("SessionImported", "session-imported"),
        ("SessionSkippedOutOfWindow", "session-skipped-out-of-window"),
    ],
)
def test_names_on_the_wire(name: str, in_kebab: str) -> None:
    assert kebab(name) == in_kebab
    assert cloudevent_type(name) == f"com.spreaview.import.{in_kebab}.v1"
    assert dataschema(name) == f"urn:spreaview:schema:{in_kebab}:v1"


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_instants_are_stored_in_utc(event: ImportEvent) -> None:
    vienna = timezone(timedelta(hours=2))
    elsewhere = {
        name: value.astimezone(vienna)
        for name in event.__struct_fields__
        if isinstance(value := getattr(event, name), datetime)
    }
    assert take_apart(msgspec.structs.replace(event, **elsewhere)) == take_apart(event)
