"""The entity that an import event is about."""

from typing import NamedTuple
from uuid import UUID

from contracts.events import (
    ImportEvent,
    RoomImported,
    RoomWithdrawn,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SessionWithdrawn,
    SpeakerErased,
    SpeakerImported,
    SpeakerWithdrawn,
)


class EventSubject(NamedTuple):
    """A session, a room or a speaker, as far as its event names it."""

    kind: str
    """session, room or speaker."""
    id: UUID
    """Our id."""
    sessionize_id: str | None
    """None: the event carries our id only, as `SpeakerErased` does."""
    name: str
    """The session's title, the room's name or the speaker's full name.

    Empty where the event carries no name, or where it was erased."""


def subject_of(event: ImportEvent) -> EventSubject | None:
    """The entity that an event is about; None for events about a run.

    `SpeakerErased` also says that a requester of syncs was erased. Then no other event of the
    stream is about the speaker.

    `subject_of(event)` of a `SessionImported` is
    `EventSubject("session", event.session_id, event.sessionize_id, event.title)`.
    """
    match event:
        case (
            SessionImported()
            | SessionSkippedOutOfWindow()
            | SessionSkippedUnscheduled()
            | SessionWithdrawn()
        ):
            return EventSubject("session", event.session_id, event.sessionize_id, event.title)
        case RoomImported() | RoomWithdrawn():
            return EventSubject("room", event.room_id, event.sessionize_id, event.name)
        case SpeakerImported():
            name = event.full_name or ""
            return EventSubject("speaker", event.speaker_id, event.sessionize_id, name)
        case SpeakerWithdrawn():
            return EventSubject("speaker", event.speaker_id, event.sessionize_id, "")
        case SpeakerErased():
            return EventSubject("speaker", event.speaker_id, None, "")
        case _:
            return None
