"""Converting events to their stored form and back: plain data, and personal data kept apart.

The log stores personal fields separately so that they can be erased. Reading joins the two parts
and upcasts events that an older version of this program wrote. Stored events are never rewritten.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias, get_args, get_type_hints
from uuid import UUID

import msgspec

from contracts.canonical import canonical
from contracts.events import EVENT_TYPES, ImportEvent, SpeakerImported, SyncStarted
from contracts.identity import requester_subject

JsonObject: TypeAlias = dict[str, object]
Upcaster: TypeAlias = Callable[[JsonObject], JsonObject]

PERSONAL_KEY = "personal"
"""The key of the personal data's digest in a stored event; no event has a field of this name."""

SCHEMA_VERSIONS: Mapping[str, int] = dict.fromkeys(EVENT_TYPES, 1)
"""The version of each event's schema that this program writes."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(type, version n) → function that converts data to version n + 1. Pure, total, never removed."""


class UnknownEventError(ValueError):
    """An event of a type or version that this program does not know: a newer one wrote it."""


class PersonalData(NamedTuple):
    """The part of an event that an erasure deletes."""

    subject: UUID
    body: bytes
    """Canonical JSON of the personal fields."""


class PlainEvent(NamedTuple):
    """An event as the log stores it, without its personal fields."""

    type: str
    schema_version: int
    data: JsonObject
    personal: PersonalData | None


def _personal_fields(event_type: type[ImportEvent]) -> tuple[str, ...]:
    hints = get_type_hints(event_type, include_extras=True)
    return tuple(
        name
        for name, hint in hints.items()
        if any((getattr(m, "extra", None) or {}).get("personal") for m in _metadata(hint))
    )


def _metadata(hint: object) -> tuple[object, ...]:
    return getattr(hint, "__metadata__", ())


PERSONAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    name: fields for name, event in EVENT_TYPES.items() if (fields := _personal_fields(event))
}
"""The personal fields of each event type that has any: every other list is derived from it."""


def _subject(event: ImportEvent) -> UUID:
    match event:
        case SpeakerImported():
            return event.speaker_id
        case SyncStarted(requested_by=str(name)):
            return requester_subject(event.organization_id, name)
        case _:
            raise TypeError(f"{type(event).__name__} has personal fields but no subject")


def _optional_fields(event_type: type[ImportEvent]) -> tuple[str, ...]:
    fields = msgspec.structs.fields(event_type)
    return tuple(field.name for field in fields if field.default is None)


OPTIONAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    name: _optional_fields(event) for name, event in EVENT_TYPES.items()
}
"""The fields of each event type that an event may lack: its personal fields, and later additions.

They are null where an event lacks them: erased, or unknown to the version that wrote it."""


def take_apart(event: ImportEvent) -> PlainEvent:
    """Split an event into plain data and personal data. `join` is the inverse."""
    name = type(event).__name__
    data: JsonObject = msgspec.to_builtins(_in_utc(event))
    body = {field: data.pop(field) for field in PERSONAL_FIELDS.get(name, ())}
    personal = None
    if any(value is not None for value in body.values()):
        personal = PersonalData(_subject(event), canonical(body))
    return PlainEvent(name, SCHEMA_VERSIONS[name], data, personal)


_INSTANTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(
        field
        for field, hint in get_type_hints(event).items()
        if datetime in (hint, *get_args(hint))
    )
    for name, event in EVENT_TYPES.items()
}
"""The fields of each event type that hold instants."""


def _in_utc(event: ImportEvent) -> ImportEvent:
    """The event with its instants in UTC: a request may give them in any zone."""
    elsewhere = {
        name: value.astimezone(UTC)
        for name in _INSTANTS[type(event).__name__]
        if (value := getattr(event, name)) is not None and value.utcoffset()
    }
    return msgspec.structs.replace(event, **elsewhere) if elsewhere else event


def upcast(
    event_type: str,
    schema_version: int,
    data: JsonObject,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    current: Mapping[str, int] = SCHEMA_VERSIONS,
) -> JsonObject:
    """Convert data to the current version of its schema.

    Raises:
        UnknownEventError: the type is unknown or the version is newer than this program's.
    """
    newest = current.get(event_type)
    if newest is None or not 1 <= schema_version <= newest:
        raise UnknownEventError(
            f"{event_type} v{schema_version} is unknown here: a newer version of spreaview-sync "
            "wrote it. Remedy: run that version."
        )
    for version in range(schema_version, newest):
        data = upcasters[event_type, version](data)
    return data


_objects = msgspec.json.Decoder(JsonObject)
_decoders = {name: msgspec.json.Decoder(event) for name, event in EVENT_TYPES.items()}


def join(event_type: str, schema_version: int, data: str, personal: str | None) -> JsonObject:
    """The whole event in the current version, from the two stored JSON texts.

    Personal fields are null if the personal data were erased. A field that was added after the
    event was written is null: its value is unknown.

    Raises:
        UnknownEventError: see `upcast`.
    """
    whole = _objects.decode(data)
    whole.pop(PERSONAL_KEY, None)
    whole = dict.fromkeys(OPTIONAL_FIELDS.get(event_type, ())) | whole
    if personal is not None:
        whole |= _objects.decode(personal)
    return upcast(event_type, schema_version, whole)


def to_event(event_type: str, data: JsonObject) -> ImportEvent:
    """The typed event of joined data. Unknown fields are ignored."""
    event: ImportEvent = msgspec.convert(data, EVENT_TYPES[event_type])
    return event


def stored_event(
    event_type: str, schema_version: int, data: str, personal: str | None
) -> ImportEvent:
    """The typed event of the two stored JSON texts: as `to_event` of `join`, decoded in one step.

    Raises:
        UnknownEventError: see `upcast`.
        msgspec.ValidationError: the event does not have the fields of its type.
    """
    if SCHEMA_VERSIONS.get(event_type) == schema_version:
        # Both texts are objects. As in `join`, the personal fields come last and win.
        whole = data if personal is None else f"{data[:-1]},{personal[1:]}"
        try:
            event: ImportEvent = _decoders[event_type].decode(whole)
        except msgspec.DecodeError:
            pass  # `join` finds the reason
        else:
            return event
    return to_event(event_type, join(event_type, schema_version, data, personal))


def kebab(event_type: str) -> str:
    """`SessionImported` → `session-imported`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", event_type).lower()


def cloudevent_type(event_type: str) -> str:
    """`SessionImported` → `com.spreaview.import.session-imported.v1`."""
    return f"com.spreaview.import.{kebab(event_type)}.v{SCHEMA_VERSIONS[event_type]}"


def dataschema(event_type: str) -> str:
    """The URI of the JSON Schema of an event's data: its `$id` in `contracts/schemas/`."""
    return f"urn:spreaview:schema:{kebab(event_type)}:v{SCHEMA_VERSIONS[event_type]}"
