"""The answers of the audit routes, and the bodies of requests."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from contracts.messages import Window
from projections.http.models import Json, SkippedSession, SyncRun
from projections.http.shown import Shown


class ChangedField(Struct, frozen=True, kw_only=True):
    """A field of an entity, before and after."""

    old: Any
    new: Any


class EntityChange(Struct, frozen=True, kw_only=True):
    """One entity that a sync changed, and how."""

    position: int
    kind: Annotated[str, Meta(description="session, room or speaker")]
    id: UUID
    sessionize_id: str
    name: str
    change: Annotated[
        str,
        Meta(
            description="added, updated, restored, repeated, skipped, withdrawn, withheld, "
            "released or erased"
        ),
    ]
    reason: str | None
    fields: dict[str, ChangedField]


class SyncReport(Struct, frozen=True, kw_only=True):
    """Everything about one sync: its outcome, and each entity that it changed."""

    shown: Shown
    sync: SyncRun
    changes: tuple[EntityChange, ...]
    changes_total: int
    """`changes` holds the first ones, at most 1,000; this is how many there are."""
    skipped: tuple[SkippedSession, ...]
    """The sessions that are skipped now."""


class SyncWindow(Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The days of a SpreaView event, both inclusive, in its own time zone."""


class SyncRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/events/{event_id}/syncs`."""

    organization_id: UUID
    sessionize_api_id: Annotated[
        str,
        Meta(description="8 to 12 letters or digits, or a Sessionize API URL.", max_length=2048),
    ]
    window: SyncWindow
    request_id: UUID | None = None
    """The same id again is the same sync; a new one if it is left out."""
    requested_by: Annotated[str, Meta(max_length=1024)] | None = None
    force: bool = False
    allow_removals: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class SyncAccepted(Struct, frozen=True, kw_only=True):
    """A sync that has not ended yet."""

    sync_id: UUID
    status: Annotated[str, Meta(description="accepted")]
    location: str


class Explained(Struct, frozen=True, kw_only=True):
    """Why an entity is, or is not, in SpreaView."""

    kind: str
    sessionize_id: str | None
    id: UUID | None
    session_code: str | None
    name: str
    there: bool
    rule: str
    words: str
    remedy: str
    values: Json
    decided_by: Json | None
    notes: list[str]
    time_zone: str | None


class HistoryStep(Struct, frozen=True, kw_only=True):
    """One step in the timeline of an entity."""

    position: int
    version: int
    recorded_at: datetime
    sync_id: UUID
    type: str
    kind: str
    id: UUID
    sessionize_id: str
    name: str
    change: str
    reason: str | None
    fields: dict[str, ChangedField]


class History(Struct, frozen=True, kw_only=True):
    """The steps of the entities of an event, the oldest first."""

    spreaview_event_id: UUID
    steps: tuple[HistoryStep, ...]
    next: str | None


class ErasureRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/organizations/{organization_id}/erasures`: exactly one of both ids."""

    speaker_id: UUID | None = None
    sessionize_id: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    request_id: UUID | None = None
    """The same id again is the same request; a new one if it is left out."""


class ErasureAccepted(Struct, frozen=True, kw_only=True):
    """A request that is not answered yet."""

    request_id: UUID
    status: Annotated[str, Meta(description="accepted")]
    location: str


class ErasureAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a request to forget a speaker."""

    request_id: UUID
    organization_id: UUID
    speaker_id: UUID | None
    status: Annotated[str, Meta(description="done or refused")]
    streams: int | None
    erased_at: datetime
    reason: str | None
