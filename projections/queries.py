"""Queries of the public views. The rows hold JSON values, instants in UTC."""

from typing import TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.instants import column_in_utc

JsonRow: TypeAlias = dict[str, object]

_SYNC_RUN = text("""
    SELECT row_to_json(r)::text FROM spreaview.sync_runs r WHERE r.sync_id = :key
""")

_RUNNING = text("""
    SELECT row_to_json(r)::text FROM spreaview.sync_runs r
    WHERE r.spreaview_event_id = :key AND r.status = 'running' ORDER BY r.position
""")

_SKIPPED = text("""
    SELECT row_to_json(s)::text FROM spreaview.skipped_sessions s
    WHERE s.spreaview_event_id = :key ORDER BY s.starts_at NULLS LAST, s.title, s.sessionize_id
""")

_TIMETABLE = text("""
    SELECT json_build_object(
        'starts_at', s.starts_at, 'ends_at', s.ends_at, 'room', r.name, 'title', s.title,
        'session_code', s.session_code, 'is_service_session', s.is_service_session,
        'speakers', coalesce((
            SELECT json_agg(p.full_name ORDER BY l.ordinal)
            FROM spreaview.session_speakers l
            JOIN spreaview.event_speakers p USING (spreaview_event_id, speaker_id)
            WHERE l.spreaview_event_id = s.spreaview_event_id AND l.session_id = s.session_id
        ), '[]'::json))::text
    FROM spreaview.sessions s
    JOIN spreaview.rooms r USING (spreaview_event_id, room_id)
    WHERE s.spreaview_event_id = :key AND s.status = 'scheduled'
    ORDER BY s.starts_at, r.sort, r.name, s.title
""")


class Queries:
    """Reads the public views, as SpreaView does."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def sync_run(self, sync_id: UUID) -> JsonRow | None:
        """Return the row of `sync_runs`, or None before the worker has started the run."""
        rows = await self._rows(_SYNC_RUN, sync_id)
        return rows[0] if rows else None

    async def running_syncs(self, spreaview_event_id: UUID) -> list[JsonRow]:
        """Return the runs of a SpreaView event that have no outcome yet, the oldest first."""
        return await self._rows(_RUNNING, spreaview_event_id)

    async def skipped_sessions(self, spreaview_event_id: UUID) -> list[JsonRow]:
        """Return the sessions that are skipped now, with the reasons."""
        return await self._rows(_SKIPPED, spreaview_event_id)

    async def timetable(self, spreaview_event_id: UUID) -> list[JsonRow]:
        """Return the scheduled sessions by time and room, with room and speaker names."""
        return await self._rows(_TIMETABLE, spreaview_event_id)

    async def _rows(self, statement: TextClause, key: UUID) -> list[JsonRow]:
        async with self._engine.connect() as connection:
            found = await connection.execute(statement, {"key": key})
            rows = [msgspec.json.decode(row, type=dict[str, object]) for row in found.scalars()]
        return [{name: column_in_utc(name, row[name]) for name in row} for row in rows]
