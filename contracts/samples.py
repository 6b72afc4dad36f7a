"""One invented sample of every message, for the golden examples."""

from datetime import UTC, date, datetime
from uuid import UUID

from contracts import identity
from contracts.events import (
    AllCounts,
    Counts,
    HeldSession,
    ImportEvent,
    Link,
    RemovalsWithheld,
    RoomImported,
    RoomWithdrawn,
    SessionImported,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    SessionWithdrawn,
    Source,
    SpeakerErased,
    SpeakerImported,
    SpeakerWithdrawn,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
    SyncWarning,
    Topic,
)
from contracts.messages import SpeakerErasureRequested, SyncRequested, Window

ORGANIZATION = UUID("5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d")
EVENT = UUID("a1b2c3d4-0000-4000-8000-000000000001")
SYNC = UUID("0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b")
_TALK, _GUID = "100001", "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
_WINDOW = Window(starts_on=date(2026, 5, 28), ends_on=date(2026, 5, 29), time_zone="Europe/Vienna")


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


_FACTS = {"sync_id": SYNC, "organization_id": ORGANIZATION, "spreaview_event_id": EVENT}
_SESSION = identity.session_id(EVENT, _TALK)
_ROOM = identity.room_id(EVENT, "4711")
_SPEAKER = identity.speaker_id(ORGANIZATION, _GUID)
_SOURCE = Source(
    digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    size_bytes=48213,
    fetched_at=_at(20, 8),
    fetch_ms=212,
)
_HELD = HeldSession(session_id=_SESSION, sessionize_id=_TALK, title="Event sourcing at noon")

REQUEST = SyncRequested(
    request_id=SYNC,
    organization_id=ORGANIZATION,
    spreaview_event_id=EVENT,
    sessionize_api_id="abcd1234",
    window=_WINDOW,
    requested_at=_at(20, 8),
    requested_by="Ada Example",
    force=False,
    allow_removals=None,
)

ERASURES = (
    SpeakerErasureRequested(
        request_id=UUID("7c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"),
        organization_id=ORGANIZATION,
        sessionize_id=_GUID,
        requested_at=_at(21, 9),
    ),
    SpeakerErasureRequested(
        request_id=UUID("7c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e50"),
        organization_id=ORGANIZATION,
        speaker_id=_SPEAKER,
        requested_at=_at(21, 9),
    ),
)

EVENTS: tuple[ImportEvent, ...] = (
    SyncStarted(
        **_FACTS,
        ordered_at=_at(20, 8),
        requested_at=_at(20, 8),
        requested_by="Ada Example",
        window=_WINDOW,
        force=False,
        allow_removals=None,
        api_id_masked="ab******",
        api_id_fingerprint="0123456789abcdef0123456789abcdef",
        worker_version="0.1.0",
    ),
    RoomImported(
        **_FACTS,
        room_id=_ROOM,
        sessionize_id="4711",
        name="Main Hall",
        sort=1,
        change="added",
        changed_fields=(),
    ),
    SpeakerImported(
        **_FACTS,
        speaker_id=_SPEAKER,
        sessionize_id=_GUID,
        is_top_speaker=False,
        first_name="Noor",
        last_name="Example",
        full_name="Noor Example",
        tag_line="Keeps histories",
        bio="Noor writes down what happened.",
        profile_picture="https://images.example/noor.png",
        links=(Link(title="Blog", url="https://noor.example", link_type="Blog"),),
        change="updated",
        changed_fields=("tag_line", "links"),
    ),
    SessionImported(
        **_FACTS,
        session_id=_SESSION,
        session_code=identity.session_code(_SESSION),
        sessionize_id=_TALK,
        title="Event sourcing at noon",
        abstract="What happened, in order.",
        room_id=_ROOM,
        starts_at=_at(28, 10),
        ends_at=_at(28, 10, 45),
        is_service_session=False,
        is_plenum_session=False,
        live_url=None,
        recording_url=None,
        speaker_ids=(_SPEAKER,),
        topics=(
            Topic(category="Track", topic="Architecture"),
            Topic(category="Level", topic="Intermediate"),
        ),
        change="restored",
        changed_fields=("starts_at",),
    ),
    SessionSkippedOutOfWindow(
        **_FACTS,
        session_id=identity.session_id(EVENT, "100002"),
        sessionize_id="100002",
        title="Workshop on the day before",
        starts_at=_at(27, 8),
        ends_at=_at(27, 15),
        reason="before_window",
        window_starts_at=_at(27, 22),
        window_ends_at=_at(29, 22),
        was_imported=False,
    ),
    SessionSkippedUnscheduled(
        **_FACTS,
        session_id=identity.session_id(EVENT, "100003"),
        sessionize_id="100003",
        title="To be announced",
        starts_at=None,
        ends_at=None,
        missing=("starts_at", "ends_at", "room"),
        was_imported=True,
    ),
    SessionWithdrawn(
        **_FACTS,
        session_id=identity.session_id(EVENT, "100004"),
        sessionize_id="100004",
        title="Cancelled, alas",
        reason="missing_from_source",
        was_imported=True,
    ),
    SpeakerWithdrawn(
        **_FACTS,
        speaker_id=_SPEAKER,
        sessionize_id=_GUID,
        reason="unreferenced",
        was_imported=True,
    ),
    RoomWithdrawn(
        **_FACTS,
        room_id=_ROOM,
        sessionize_id="4711",
        name="Main Hall",
        reason="missing_from_source",
        was_imported=True,
    ),
    RemovalsWithheld(**_FACTS, guarded=40, removed=21, sessions=(_HELD,)),
    SyncCompleted(
        **_FACTS,
        ordered_at=_at(20, 8),
        counts=AllCounts(
            sessions=Counts(added=1, unchanged=30, skipped=2, withheld=1),
            speakers=Counts(updated=1, unchanged=28),
            rooms=Counts(unchanged=4),
        ),
        warnings=(
            SyncWarning(
                code="room_double_booked",
                message="“Event sourcing at noon” and “Kafka in the evening” overlap in the "
                "room Main Hall.",
                sessionize_ids=(_TALK, "100005"),
            ),
        ),
        withheld=(_HELD,),
        unreferenced_rooms=("4712",),
        unreferenced_speakers=(),
        unreferenced_rooms_total=1,
        unreferenced_speakers_total=0,
        source=_SOURCE,
        duration_ms=260,
    ),
    SyncFailed(
        **_FACTS,
        ordered_at=_at(20, 8),
        code="schedule_not_announced",
        message="Sessionize lists 23 sessions, but none of them has a time: the schedule is not "
        "announced.",
        remedy="Announce the schedule in Sessionize, then sync again.",
        retryable=False,
        http_status=200,
        source=_SOURCE,
    ),
    SpeakerErased(**_FACTS, speaker_id=_SPEAKER),
)
