"""The import events: the facts in the log, published to subscribers as JSON objects.

`sync_id` is the request that caused the fact. Instants are UTC. Personal fields are marked with a
`$comment` in the schemas. They are stored apart from the events, and are null after an erasure.
"""

from typing import Annotated, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct

from contracts.messages import PERSONAL_SCHEMA, Instant, Window

_PERSONAL = Meta(extra={"personal": True}, extra_json_schema=PERSONAL_SCHEMA)
PersonalText = Annotated[str | None, _PERSONAL]

Change = Literal["added", "updated", "restored", "repeated"]
"""Why an entity was imported: new, different, back after a withdrawal, or forced again."""


class Fact(Struct, frozen=True, kw_only=True):
    """The fields that every import event has."""

    sync_id: Annotated[UUID, Meta(description="The request that caused it.")]
    organization_id: UUID
    """The owner of the SpreaView event."""
    spreaview_event_id: UUID
    """The conference or meetup."""


class Room(Struct, frozen=True, kw_only=True):
    """A room as SpreaView shows it."""

    room_id: UUID
    """Our id of the room."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    name: str
    """The name of the room."""
    sort: int
    """Its place in the order of display."""


class Link(Struct, frozen=True, kw_only=True):
    """One of a speaker's links."""

    title: str
    """The text of the link."""
    url: str
    """The address."""
    link_type: str
    """The kind of link, such as Twitter, as Sessionize names it."""


class Speaker(Struct, frozen=True, kw_only=True):
    """A speaker as SpreaView shows them."""

    speaker_id: UUID
    """Our id: the same in every SpreaView event of the organization."""
    sessionize_id: str
    """The GUID in Sessionize: the same in every organization."""
    is_top_speaker: bool
    """Whether Sessionize lists the person as a top speaker."""
    first_name: PersonalText = None
    """First name."""
    last_name: PersonalText = None
    """Last name."""
    full_name: PersonalText = None
    """Full name."""
    tag_line: PersonalText = None
    """Tag line."""
    bio: PersonalText = None
    """Biography."""
    profile_picture: PersonalText = None
    """URL of the picture."""
    links: Annotated[tuple[Link, ...] | None, _PERSONAL] = None
    """Links of the speaker, such as a blog."""


class Topic(Struct, frozen=True, kw_only=True):
    """One of a session's topics: an item of a category in Sessionize, such as Track: Data."""

    category: Annotated[str, Meta(description="The title of the category, at most 1 KiB.")]
    topic: Annotated[str, Meta(description="The name of the item, at most 1 KiB.")]


class Session(Struct, frozen=True, kw_only=True):
    """A session as SpreaView shows it."""

    session_id: UUID
    """Our id of the session."""
    session_code: Annotated[str, Meta(description="In the review URL; never changes.")]
    sessionize_id: str
    """The id in Sessionize, as text."""
    title: str
    """The title of the session."""
    abstract: str | None
    """The description in Sessionize."""
    room_id: UUID
    """Our id of the room in which it takes place."""
    starts_at: Instant
    """When the session starts."""
    ends_at: Instant
    """When the session ends."""
    is_service_session: bool
    """Whether it is a break, a registration or the like."""
    is_plenum_session: bool
    """Whether it is for all attendees."""
    live_url: str | None
    """URL of the live stream."""
    recording_url: str | None
    """URL of the recording."""
    speaker_ids: Annotated[tuple[UUID, ...], Meta(description="In the order of display.")]
    topics: Annotated[
        tuple[Topic, ...] | None,
        Meta(
            description="At most 100, in the order of display; null: unknown, as in events of "
            "versions before 0.1.0."
        ),
    ] = None


class SyncStarted(Fact, frozen=True, kw_only=True):
    """Work on a request began."""

    ordered_at: Annotated[Instant, Meta(description="Decides which of two requests is later.")]
    requested_at: Instant
    """When the request was made, by the clock of its sender."""
    requested_by: PersonalText = None
    """The person or program that requested the sync."""
    window: Window
    """The days of the SpreaView event, both inclusive, in its time zone."""
    force: bool
    """Whether every entity is emitted again."""
    allow_removals: int | None
    """The number of withheld removals that the request confirms."""
    api_id_masked: str
    """The Sessionize API ID: two characters, then asterisks."""
    api_id_fingerprint: Annotated[
        str, Meta(description="Equal for equal API IDs of one log; cannot be turned back.")
    ]
    worker_version: str
    """The version of the program that ran it."""


class RoomImported(Room, frozen=True, kw_only=True):
    """A whole room, as SpreaView should show it from now on."""

    sync_id: UUID
    """The request that caused it."""
    organization_id: UUID
    """The owner of the SpreaView event."""
    spreaview_event_id: UUID
    """The conference or meetup."""
    change: Change
    """Why it was imported: new, different, back after a withdrawal, or forced again."""
    changed_fields: tuple[str, ...]
    """The fields that differ from the last import; empty for a new or a repeated one."""


class SpeakerImported(Speaker, frozen=True, kw_only=True):
    """A whole speaker, as SpreaView should show them from now on."""

    sync_id: UUID
    """The request that caused it."""
    organization_id: UUID
    """The owner of the SpreaView event."""
    spreaview_event_id: UUID
    """The conference or meetup."""
    change: Change
    """Why it was imported: new, different, back after a withdrawal, or forced again."""
    changed_fields: tuple[str, ...]
    """The fields that differ from the last import; empty for a new or a repeated one."""


class SessionImported(Session, frozen=True, kw_only=True):
    """A whole session, as SpreaView should show it from now on. This event also ends a skip."""

    sync_id: UUID
    """The request that caused it."""
    organization_id: UUID
    """The owner of the SpreaView event."""
    spreaview_event_id: UUID
    """The conference or meetup."""
    change: Change
    """Why it was imported: new, different, back after a withdrawal, or forced again."""
    changed_fields: tuple[str, ...]
    """The fields that differ from the last import; empty for a new or a repeated one."""


class SessionSkippedOutOfWindow(Fact, frozen=True, kw_only=True):
    """A session starts outside the window `window_starts_at` ≤ start < `window_ends_at`."""

    session_id: UUID
    """Our id of the session."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    title: str
    """The title of the session."""
    starts_at: Instant
    """When the session starts."""
    ends_at: Instant | None
    """When the session ends, if Sessionize has a time."""
    reason: Literal["before_window", "after_window"]
    """Whether it starts before the first day or after the last."""
    window_starts_at: Instant
    """Start of the dates, inclusive."""
    window_ends_at: Annotated[Instant, Meta(description="Exclusive.")]
    was_imported: Annotated[bool, Meta(description="True: it leaves the schedule by this.")]


class SessionSkippedUnscheduled(Fact, frozen=True, kw_only=True):
    """A session has no time or no room yet."""

    session_id: UUID
    """Our id of the session."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    title: str
    """The title of the session."""
    starts_at: Instant | None
    """When the session starts, if Sessionize has a time."""
    ends_at: Instant | None
    """When the session ends, if Sessionize has a time."""
    missing: Annotated[
        tuple[str, ...], Meta(description="Of starts_at, ends_at and room: what is not set yet.")
    ]
    was_imported: Annotated[bool, Meta(description="True: it leaves the schedule by this.")]


class SessionWithdrawn(Fact, frozen=True, kw_only=True):
    """A session is gone from Sessionize. This event also ends a skip."""

    session_id: UUID
    """Our id of the session."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    title: str
    """The title of the session."""
    reason: Literal["missing_from_source"]
    """Always that Sessionize no longer has it."""
    was_imported: Annotated[bool, Meta(description="False: it only was among the skipped.")]


class SpeakerWithdrawn(Fact, frozen=True, kw_only=True):
    """No imported session of this SpreaView event refers to the speaker any more."""

    speaker_id: UUID
    """Our id: the same in every SpreaView event of the organization."""
    sessionize_id: str
    """The GUID in Sessionize: the same in every organization."""
    reason: Literal["missing_from_source", "unreferenced"]
    """Whether Sessionize no longer has it, or only no session refers to it."""
    was_imported: bool
    """Whether it was shown before."""


class RoomWithdrawn(Fact, frozen=True, kw_only=True):
    """No imported session refers to the room any more."""

    room_id: UUID
    """Our id of the room."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    name: str
    """The name of the room."""
    reason: Literal["missing_from_source", "unreferenced"]
    """Whether Sessionize no longer has it, or only no session refers to it."""
    was_imported: bool
    """Whether it was shown before."""


class HeldSession(Struct, frozen=True, kw_only=True):
    """An imported session whose removal is held back until somebody confirms it."""

    session_id: UUID
    """Our id of the session."""
    sessionize_id: str
    """The id in Sessionize, as text."""
    title: str
    """The title of the session."""


class RemovalsWithheld(Fact, frozen=True, kw_only=True):
    """Removals were held back, because this many at the same time look like a mistake.

    A run that holds back very many has several of these events: together they list all
    held sessions.
    """

    guarded: Annotated[int, Meta(description="Imported sessions the guard looked at.")]
    removed: Annotated[int, Meta(description="How many of them are gone from the schedule.")]
    sessions: Annotated[
        tuple[HeldSession, ...],
        Meta(description="Titles are empty beyond the first 100 of a run."),
    ]


class Counts(Struct, frozen=True, kw_only=True):
    """The counts of a run for one kind of entity."""

    added: int = 0
    """New entities."""
    updated: int = 0
    """Entities with a different field."""
    unchanged: int = 0
    """Entities that are as before."""
    restored: int = 0
    """Entities that are back after a withdrawal."""
    repeated: int = 0
    """Unchanged entities that were emitted again because of `force`."""
    skipped: int = 0
    """Sessions that are not in the schedule: outside the dates, or without time or room."""
    withdrawn: int = 0
    """Entities that left."""
    withheld: int = 0
    """Entities whose removal is held back."""
    left: Annotated[
        int,
        Meta(
            description="Sessions that were imported and left because the dates changed. They "
            "are among skipped and withdrawn, too."
        ),
    ] = 0


class AllCounts(Struct, frozen=True, kw_only=True):
    """The counts of a run, per kind."""

    sessions: Counts
    """The counts of sessions."""
    speakers: Counts
    """The counts of speakers."""
    rooms: Counts
    """The counts of rooms."""


class SyncWarning(Struct, frozen=True, kw_only=True):
    """A problem that the organiser may want to correct in Sessionize."""

    code: Annotated[str, Meta(description="Stable, e.g. room_double_booked.")]
    message: str
    """A sentence for the organiser."""
    sessionize_ids: tuple[str, ...] = ()
    """The entities that it is about."""


class Source(Struct, frozen=True, kw_only=True):
    """The document behind a run."""

    digest: Annotated[str, Meta(description="SHA-256 of the body as it was received, in hex.")]
    size_bytes: int
    """The size of the body."""
    fetched_at: Instant
    """When the fetch began."""
    fetch_ms: Annotated[int, Meta(description="Duration of the fetch, in milliseconds.")]


class SyncCompleted(Fact, frozen=True, kw_only=True):
    """The run is over, and all its results are in the log."""

    ordered_at: Instant
    """Decides which of two requests is later."""
    counts: AllCounts
    """The number of added, updated, unchanged and other entities of each kind."""
    warnings: tuple[SyncWarning, ...]
    """Problems that the organiser may want to correct in Sessionize."""
    withheld: Annotated[
        tuple[HeldSession, ...],
        Meta(description="The first 100 held sessions; counts.sessions.withheld says how many."),
    ]
    unreferenced_rooms: Annotated[
        tuple[str, ...],
        Meta(description="The first Sessionize ids of rooms that no session here uses."),
    ]
    unreferenced_speakers: Annotated[
        tuple[str, ...],
        Meta(description="The first Sessionize ids of speakers of no session here."),
    ]
    unreferenced_rooms_total: Annotated[
        int | None, Meta(description="How many there are; null in old events.")
    ] = None
    unreferenced_speakers_total: Annotated[
        int | None, Meta(description="How many there are; null in old events.")
    ] = None
    source: Source
    """The document that the run imported."""
    duration_ms: Annotated[int, Meta(description="From the start of the run, in milliseconds.")]


class SyncFailed(Fact, frozen=True, kw_only=True):
    """The run is over, and it changed nothing."""

    ordered_at: Instant
    """Decides which of two requests is later."""
    code: Annotated[str, Meta(description="Stable, e.g. schedule_not_announced.")]
    message: Annotated[str, Meta(description="A sentence for the organiser.")]
    remedy: Annotated[str, Meta(description="What to do about it.")]
    retryable: Annotated[bool, Meta(description="True: the same request may succeed later.")]
    http_status: int | None
    """The status of Sessionize's answer, if there was one."""
    source: Annotated[
        Source | None, Meta(description="The document, if one was received and refused.")
    ]


class SpeakerErased(Fact, frozen=True, kw_only=True):
    """A person asked to be forgotten; `sync_id` is the erasure's id."""

    speaker_id: Annotated[
        UUID,
        Meta(description="Of someone who asked for syncs: UUIDv5(organization_id, requested_by)."),
    ]


ImportEvent = (
    SyncStarted
    | RoomImported
    | SpeakerImported
    | SessionImported
    | SessionSkippedOutOfWindow
    | SessionSkippedUnscheduled
    | SessionWithdrawn
    | SpeakerWithdrawn
    | RoomWithdrawn
    | RemovalsWithheld
    | SyncCompleted
    | SyncFailed
    | SpeakerErased
)

EVENT_TYPES: dict[str, type[ImportEvent]] = {t.__name__: t for t in get_args(ImportEvent)}
"""Every event class by its name in the log."""

TERMINAL_TYPES = frozenset({SyncCompleted.__name__, SyncFailed.__name__})
"""The last event of an outcome."""

CUT_TYPES = TERMINAL_TYPES | {SyncStarted.__name__, SpeakerErased.__name__}
"""The events after which a read model may be cut: never between the events of one outcome."""
