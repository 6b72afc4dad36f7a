"""The answers of the query routes. Each type is the JSON form, the schema and the documentation."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from contracts.messages import Window
from projections.http.shown import Shown

Local = Annotated[str, Meta(description="In the event's zone, with the offset of that moment.")]
Json = dict[str, Any]


class SpeakerRef(Struct, frozen=True, kw_only=True):
    """A speaker as a session lists them. Names are null after an erasure."""

    speaker_id: UUID
    sessionize_id: str
    full_name: str | None


class RoomRef(Struct, frozen=True, kw_only=True):
    """A room as a session names it."""

    room_id: UUID
    sessionize_id: str
    name: str
    sort: int


class TopicRef(Struct, frozen=True, kw_only=True):
    """A topic of a session, in its category."""

    category: str
    topic: str


class SessionView(Struct, frozen=True, kw_only=True):
    """A session with its room and speakers."""

    session_id: UUID
    session_code: Annotated[str, Meta(description="In the review URL; never changes.")]
    sessionize_id: str
    title: str
    abstract: str | None
    starts_at: datetime
    ends_at: datetime
    starts_at_local: Local
    ends_at_local: Local
    room: RoomRef
    speakers: tuple[SpeakerRef, ...]
    topics: Annotated[
        tuple[TopicRef, ...] | None, Meta(description="Null: imported before topics were known.")
    ]
    is_service_session: bool
    is_plenum_session: bool
    is_reviewable: Annotated[bool, Meta(description="Not a service session, and it has a speaker.")]
    live_url: str | None
    recording_url: str | None
    status: Annotated[str, Meta(description="scheduled or withdrawn")]


class RoomDay(Struct, frozen=True, kw_only=True):
    """The sessions of one room on one day, by their start."""

    room_id: UUID
    name: str
    sessions: tuple[SessionView, ...]


class Day(Struct, frozen=True, kw_only=True):
    """One day in the event's zone: the rooms that have a session starting on it, in their order."""

    date: date
    rooms: tuple[RoomDay, ...]


class Schedule(Struct, frozen=True, kw_only=True):
    """The schedule of a SpreaView event, as the last completed sync left it."""

    shown: Shown
    spreaview_event_id: UUID
    organization_id: UUID
    window: Window | None
    """The window of the last completed sync; null before the first."""
    last_completed_sync: UUID | None
    days: tuple[Day, ...]


class RoomView(Struct, frozen=True, kw_only=True):
    """A room of a SpreaView event."""

    room_id: UUID
    sessionize_id: str
    name: str
    sort: int
    status: Annotated[str, Meta(description="imported or withdrawn")]


class Rooms(Struct, frozen=True, kw_only=True):
    """The rooms of a SpreaView event in their order, the withdrawn ones last."""

    shown: Shown
    spreaview_event_id: UUID
    rooms: tuple[RoomView, ...]


class RoomNow(Struct, frozen=True, kw_only=True):
    """A room at one moment. A session is current from its start to before its end."""

    shown: Shown
    room: RoomView
    at: datetime
    previous: SessionView | None
    """The session that ended last, at or before `at`."""
    current: tuple[SessionView, ...]
    """Several, the earliest start first, if the room is double-booked."""
    next: SessionView | None
    """The session that starts next after `at`."""
    changes_at: datetime | None
    """When this answer changes by itself; null if it never does."""


class SessionAnswer(Struct, frozen=True, kw_only=True):
    """One session, by its code. A withdrawn one keeps its link and is marked."""

    shown: Shown
    spreaview_event_id: UUID
    organization_id: UUID
    time_zone: str
    session: SessionView


class SpeakerSession(Struct, frozen=True, kw_only=True):
    """A session of a speaker, with the event that it belongs to."""

    spreaview_event_id: UUID
    session_id: UUID
    session_code: str
    title: str
    starts_at: datetime
    ends_at: datetime
    room_name: str
    status: str


class SpeakerAnswer(Struct, frozen=True, kw_only=True):
    """A speaker of an organization, and all their sessions over its events."""

    organization_id: UUID
    speaker_id: UUID
    sessionize_id: str
    first_name: str | None
    last_name: str | None
    full_name: str | None
    tag_line: str | None
    bio: str | None
    profile_picture: str | None
    links: list[Json] | None
    is_top_speaker: bool
    status: Annotated[str, Meta(description="imported, withdrawn or erased")]
    sessions: tuple[SpeakerSession, ...]


class SyncRun(Struct, frozen=True, kw_only=True):
    """One sync, as the view `sync_runs` shows it."""

    sync_id: UUID
    spreaview_event_id: UUID
    organization_id: UUID
    status: Annotated[str, Meta(description="running, completed, failed or superseded")]
    requested_at: datetime | None
    requested_by: str | None
    started_at: datetime | None
    finished_at: datetime | None
    window_starts_on: date | None
    window_ends_on: date | None
    time_zone: str | None
    api_id_masked: str | None
    counts: Json | None
    warnings: list[Json] | None
    withheld: list[Json] | None
    failure_code: str | None
    failure_message: str | None
    failure_remedy: str | None
    retryable: bool | None
    position: int


class SyncRuns(Struct, frozen=True, kw_only=True):
    """The runs of an event, the newest first."""

    shown: Shown
    runs: tuple[SyncRun, ...]
    next: str | None
    """The cursor of the next page; null on the last one."""


class SkippedSession(Struct, frozen=True, kw_only=True):
    """A session of Sessionize that SpreaView does not show, and why."""

    sessionize_id: str
    title: str
    starts_at: datetime | None
    ends_at: datetime | None
    reason: Annotated[str, Meta(description="before_window, after_window or unscheduled")]
    missing: list[str] | None
    window_starts_at: datetime | None
    window_ends_at: datetime | None
    sync_id: UUID
    remedy: str


class SkippedSessions(Struct, frozen=True, kw_only=True):
    """The sessions that the last completed sync left out."""

    shown: Shown
    spreaview_event_id: UUID
    sessions: tuple[SkippedSession, ...]


class EventSummary(Struct, frozen=True, kw_only=True):
    """A SpreaView event with its newest sync."""

    spreaview_event_id: UUID
    organization_id: UUID
    sessions: int
    speakers: int
    rooms: int
    skipped: int
    position: int
    """The position of the last event of its stream that is shown."""
    newest_sync: SyncRun


class Events(Struct, frozen=True, kw_only=True):
    """The SpreaView events that the token may see, the one that changed last first."""

    events: tuple[EventSummary, ...]
    next: str | None
