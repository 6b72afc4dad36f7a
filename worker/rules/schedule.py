"""A schedule in SpreaView's terms: the result of reading a document, the input of deciding."""

from datetime import datetime
from typing import NamedTuple

from contracts.events import Room, Speaker, SyncWarning


class PlannedSession(NamedTuple):
    """A session of a document; references are Sessionize ids."""

    sessionize_id: str
    title: str
    abstract: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    room: str | None
    speakers: tuple[str, ...]
    is_service_session: bool
    is_plenum_session: bool
    live_url: str | None
    recording_url: str | None


class Schedule(NamedTuple):
    """A document, normalised; keyed by Sessionize id, in the document's order."""

    sessions: dict[str, PlannedSession]
    rooms: dict[str, Room]
    speakers: dict[str, Speaker]
    invalid_sessions: frozenset[str]
    """Sessions that the document lists but that cannot be read."""
    invalid_rooms: frozenset[str]
    invalid_speakers: frozenset[str]
    warnings: tuple[SyncWarning, ...]
    listed: int
    """Number of sessions in the document, readable or not."""
