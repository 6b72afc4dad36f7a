"""The statements of the query routes. They read the public views, as SpreaView does.

Every row travels as JSON and becomes a type of `models` in one step.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.instants import in_zone
from contracts.messages import Window
from projections.http.models import RoomRef, RoomView, SessionView, SpeakerRef, TopicRef

T = TypeVar("T")

_SESSION = """
    SELECT s.spreaview_event_id, s.session_id, s.session_code, s.sessionize_id, s.title, s.abstract,
           s.starts_at, s.ends_at, s.is_service_session, s.is_plenum_session, s.live_url,
           s.recording_url, s.status, s.topics, s.is_reviewable,
           json_build_object('room_id', r.room_id, 'sessionize_id', r.sessionize_id,
                             'name', r.name, 'sort', r.sort) AS room,
           coalesce((
               SELECT json_agg(json_build_object('speaker_id', p.speaker_id,
                                                 'sessionize_id', p.sessionize_id,
                                                 'full_name', p.full_name) ORDER BY l.ordinal)
               FROM spreaview.session_speakers l
               JOIN spreaview.event_speakers p USING (spreaview_event_id, speaker_id)
               WHERE l.spreaview_event_id = s.spreaview_event_id AND l.session_id = s.session_id
           ), '[]'::json) AS speakers
    FROM spreaview.sessions s
    JOIN spreaview.rooms r USING (spreaview_event_id, room_id)
"""

SESSIONS_OF_EVENT = text(f"""
    SELECT row_to_json(q)::text FROM ({_SESSION}
        WHERE s.spreaview_event_id = :event_id AND (s.status = 'scheduled' OR :withdrawn)
        ORDER BY s.starts_at, s.ends_at, s.title, s.session_code
    ) q
""")  # noqa: S608 (of constants)

SESSIONS_OF_ROOM = text(f"""
    SELECT row_to_json(q)::text FROM ({_SESSION}
        WHERE s.spreaview_event_id = :event_id AND s.room_id = :room_id AND s.status = 'scheduled'
        ORDER BY s.starts_at, s.ends_at, s.title, s.session_code
    ) q
""")  # noqa: S608 (of constants)

SESSION_BY_CODE = text(f"""
    SELECT row_to_json(q)::text FROM ({_SESSION}
        WHERE s.spreaview_event_id = :event_id AND s.session_code = :code
    ) q
""")  # noqa: S608 (of constants)

EVENT_OF_CODE = text("""
    SELECT spreaview_event_id FROM spreaview.sessions WHERE session_code = :code
    ORDER BY position DESC LIMIT 1
""")

# A withdrawn event still has the dates of its last completed run.
LAST_COMPLETED = text("""
    SELECT sync_id, window_starts_on, window_ends_on, time_zone FROM spreaview.sync_runs
    WHERE spreaview_event_id = :event_id AND status = 'completed'
    ORDER BY position DESC LIMIT 1
""")

ROOMS = text("""
    SELECT json_build_object('room_id', room_id, 'sessionize_id', sessionize_id, 'name', name,
                             'sort', sort, 'status', status)::text
    FROM spreaview.rooms WHERE spreaview_event_id = :event_id
    ORDER BY (status = 'withdrawn'), sort, name, sessionize_id
""")

RUNS = text("""
    SELECT row_to_json(r)::text FROM spreaview.sync_runs r
    WHERE r.spreaview_event_id = :event_id AND r.position < :before
      AND (CAST(:organizations AS uuid[]) IS NULL
           OR r.organization_id = ANY(CAST(:organizations AS uuid[])))
    ORDER BY r.position DESC LIMIT :limit
""")

RUN = text("""
    SELECT row_to_json(r)::text FROM spreaview.sync_runs r
    WHERE r.spreaview_event_id = :event_id AND r.sync_id = :sync_id
""")

SKIPPED = text("""
    SELECT row_to_json(s)::text FROM spreaview.skipped_sessions s
    WHERE s.spreaview_event_id = :event_id
    ORDER BY s.starts_at NULLS LAST, s.title, s.sessionize_id
""")

SPEAKER = text("""
    SELECT row_to_json(s)::text FROM spreaview.speakers s
    WHERE s.organization_id = :organization_id
      AND (s.speaker_id = :speaker_id OR lower(s.sessionize_id) = :sessionize_id)
    ORDER BY (s.speaker_id = :speaker_id) DESC, s.position DESC LIMIT 1
""")

SESSIONS_OF_SPEAKER = text("""
    SELECT json_build_object(
        'spreaview_event_id', s.spreaview_event_id, 'session_id', s.session_id,
        'session_code', s.session_code, 'title', s.title, 'starts_at', s.starts_at,
        'ends_at', s.ends_at, 'room_name', r.name, 'status', s.status)::text
    FROM spreaview.event_speakers p
    JOIN spreaview.session_speakers l USING (spreaview_event_id, speaker_id)
    JOIN spreaview.sessions s USING (spreaview_event_id, session_id)
    JOIN spreaview.rooms r USING (spreaview_event_id, room_id)
    WHERE p.organization_id = :organization_id AND p.speaker_id = :speaker_id
    ORDER BY s.starts_at, s.title, s.session_code
""")

# Each event with its newest run, in the order of the last events: an erasure comes after a run. An
# event without a run is not known.
EVENTS = text("""
    SELECT json_build_object(
        'spreaview_event_id', r.spreaview_event_id, 'organization_id', r.owner,
        'position', r.position, 'newest_sync', row_to_json(r.run),
        'sessions', (SELECT count(*) FROM spreaview.sessions s
                     WHERE s.spreaview_event_id = r.spreaview_event_id AND s.status = 'scheduled'),
        'speakers', (SELECT count(*) FROM spreaview.event_speakers p
                     WHERE p.spreaview_event_id = r.spreaview_event_id AND p.status <> 'withdrawn'),
        'rooms', (SELECT count(*) FROM spreaview.rooms o
                  WHERE o.spreaview_event_id = r.spreaview_event_id AND o.status = 'imported'),
        'skipped', (SELECT count(*) FROM spreaview.skipped_sessions k
                    WHERE k.spreaview_event_id = r.spreaview_event_id))::text
    FROM (
        SELECT e.spreaview_event_id, e.position, newest AS run, owner.organization_id AS owner
        FROM spreaview.stream_progress e
        CROSS JOIN LATERAL (SELECT * FROM spreaview.sync_runs n
                            WHERE n.spreaview_event_id = e.spreaview_event_id
                              AND (CAST(:organizations AS uuid[]) IS NULL
                                   OR n.organization_id = ANY(CAST(:organizations AS uuid[])))
                            ORDER BY n.position DESC LIMIT 1) newest
        CROSS JOIN LATERAL (SELECT organization_id FROM spreaview.sync_runs o
                            WHERE o.spreaview_event_id = e.spreaview_event_id
                            ORDER BY (o.status = 'completed') DESC, o.position LIMIT 1) owner
        WHERE e.position < :before
          AND (CAST(:organizations AS uuid[]) IS NULL
               OR owner.organization_id = ANY(CAST(:organizations AS uuid[])))
        ORDER BY e.position DESC LIMIT :limit
    ) r
    ORDER BY r.position DESC
""")

HEAD = text("""
    SELECT coalesce(max(position), 0) AS position, pg_is_in_recovery() AS is_of_replica
    FROM event_store.events
""")

SYNC_STATUS = text("""
    SELECT status FROM spreaview.sync_runs
    WHERE sync_id = :sync_id
      AND (CAST(:event_id AS uuid) IS NULL OR spreaview_event_id = CAST(:event_id AS uuid))
""")


class _SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    spreaview_event_id: UUID
    session_id: UUID
    session_code: str
    sessionize_id: str
    title: str
    abstract: str | None
    starts_at: datetime
    ends_at: datetime
    is_service_session: bool
    is_plenum_session: bool
    live_url: str | None
    recording_url: str | None
    status: str
    room: RoomRef
    speakers: tuple[SpeakerRef, ...]
    topics: tuple[TopicRef, ...] | None
    is_reviewable: bool


class Completed(NamedTuple):
    """The last completed sync of an event."""

    sync_id: UUID
    window: Window

    @property
    def zone(self) -> ZoneInfo:
        """The event's zone; UTC if this machine does not know it."""
        try:
            return ZoneInfo(self.window.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo("UTC")


async def read_rows(
    connection: AsyncConnection, statement: TextClause, type_: type[T], **values: Any
) -> list[T]:
    """Run a statement that returns one JSON text per row, and decode the rows."""
    found = await connection.execute(statement, values)
    decoder = msgspec.json.Decoder(type_)
    return [decoder.decode(row) for row in found.scalars()]


async def read_sessions(
    connection: AsyncConnection, statement: TextClause, zone: ZoneInfo, **values: Any
) -> list[SessionView]:
    """Run one of the statements of sessions; local times are in the zone."""
    rows = await read_rows(connection, statement, _SessionRow, **values)
    return [_view(row, zone) for row in rows]


async def read_completed(connection: AsyncConnection, event_id: UUID) -> Completed | None:
    """Read the last completed sync of an event."""
    row = (await connection.execute(LAST_COMPLETED, {"event_id": event_id})).one_or_none()
    if row is None or row.window_starts_on is None:
        return None
    return Completed(
        row.sync_id,
        Window(starts_on=row.window_starts_on, ends_on=row.window_ends_on, time_zone=row.time_zone),
    )


async def read_zone(connection: AsyncConnection, event_id: UUID) -> ZoneInfo:
    """Read the zone in which the last completed sync placed an event; UTC before the first sync."""
    completed = await read_completed(connection, event_id)
    return completed.zone if completed else ZoneInfo("UTC")


async def read_rooms(connection: AsyncConnection, event_id: UUID) -> list[RoomView]:
    """Read the rooms of an event in their order, the withdrawn ones last."""
    return await read_rows(connection, ROOMS, RoomView, event_id=event_id)


def _view(row: _SessionRow, zone: ZoneInfo) -> SessionView:
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    del fields["spreaview_event_id"]
    fields["starts_at"] = row.starts_at.astimezone(UTC)
    fields["ends_at"] = row.ends_at.astimezone(UTC)
    return SessionView(
        **fields,
        starts_at_local=in_zone(row.starts_at, zone).isoformat(),
        ends_at_local=in_zone(row.ends_at, zone).isoformat(),
    )
