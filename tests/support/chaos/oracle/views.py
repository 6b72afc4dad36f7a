"""The read models of an event at one moment, and a reader that looks during the whole run."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

Rows: TypeAlias = dict[str, dict[str, Any]]
"""The rows of one view by key; instants are `datetime`s."""

KEYS = {
    "sync_runs": ("sync_id",),
    "rooms": ("room_id",),
    "event_speakers": ("speaker_id",),
    "sessions": ("session_id",),
    "session_speakers": ("session_id", "speaker_id"),
    "skipped_sessions": ("sessionize_id",),
}
"""The views, with the key of a row within one event."""

_INSTANTS = frozenset(
    (
        *("requested_at", "started_at", "finished_at", "starts_at", "ends_at"),
        *("window_starts_at", "window_ends_at"),
    )
)
_LOOK = "SELECT " + ", ".join(
    f"(SELECT coalesce(json_agg(v), '[]') FROM spreaview.{view} v"
    f" WHERE spreaview_event_id = $1)::text AS {view}"
    for view in ("stream_progress", *KEYS)
)
PASSING = (
    *(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError),
    asyncpg.InternalClientError,  # after a cut at a bad moment
)
"""Errors of a reader whose database is killed, stopped or cut off."""

_COMMAND_SECONDS = 5.0
_AGAIN_SECONDS = 0.3
_BREATH_SECONDS = 0.004


class Snapshot(NamedTuple):
    """The rows that one transaction saw."""

    event_id: UUID
    version: int
    """0 if there was no row of `stream_progress`."""
    position: int
    views: dict[str, Rows]


def rows_of(view: str, rows: Sequence[dict[str, Any]]) -> Rows:
    """Rows by key, without the columns that all rows of an event share."""
    return {
        "/".join(str(row[name]) for name in KEYS[view]): {
            name: datetime.fromisoformat(value) if name in _INSTANTS and value else value
            for name, value in row.items()
            if name != "spreaview_event_id"
        }
        for row in rows
    }


async def look(connection: asyncpg.Connection, event_id: UUID) -> Snapshot:
    """Read everything of an event in one REPEATABLE READ transaction."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(_LOOK, event_id)
    texts = dict(row)
    progress = json.loads(texts.pop("stream_progress"))
    version, position = (progress[0]["version"], progress[0]["position"]) if progress else (0, 0)
    views = {view: rows_of(view, json.loads(text)) for view, text in texts.items()}
    return Snapshot(event_id, version, position, views)


class Watcher:
    """Looks at every event in turn, and continues through outages of the database."""

    def __init__(self, url: str, event_ids: Sequence[UUID]) -> None:
        self.looks = 0
        """Number of successful looks."""
        self.seen: list[Snapshot] = []
        """Every distinct state seen."""
        self._url = url
        self._event_ids = event_ids
        self._known: dict[UUID, Snapshot] = {}

    def version(self, event_id: UUID) -> int:
        """The version at which an event was seen last; 0 before."""
        known = self._known.get(event_id)
        return 0 if known is None else known.version

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look_on()
            except PASSING:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _look_on(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=_COMMAND_SECONDS, command_timeout=_COMMAND_SECONDS
        )
        try:
            while True:
                for event_id in self._event_ids:
                    self._keep(await look(connection, event_id))
                    await asyncio.sleep(_BREATH_SECONDS)
        finally:
            connection.terminate()

    def _keep(self, snapshot: Snapshot) -> None:
        self.looks += 1
        if self._known.get(snapshot.event_id) != snapshot:
            self._known[snapshot.event_id] = snapshot
            self.seen.append(snapshot)
