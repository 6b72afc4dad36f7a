"""Write changes to the database: one statement per kind of change, for any number of rows."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from projections import statements
from projections.changes import Changes, Row

_encoder = msgspec.json.Encoder()


async def write(connection: AsyncConnection, changes: Changes) -> None:
    """Write changes to the generation that this transaction has selected."""
    for statement, rows in _statements(changes):
        if rows:
            await connection.execute(statement, {"rows": _encoder.encode(rows).decode()})


def _statements(changes: Changes) -> Iterable[tuple[TextClause, list[Row]]]:
    yield statements.PUT_STARTED_RUNS, list(changes.started_runs.values())
    yield statements.PUT_ENDED_RUNS, list(changes.ended_runs.values())
    yield statements.PUT_ROOMS, list(changes.rooms.rows.values())
    yield statements.MARK_ROOMS, list(changes.rooms.marks.values())
    yield statements.FORGET_SPEAKERS, list(changes.forgotten.values())
    yield statements.PUT_SPEAKERS, list(changes.speakers.rows.values())
    yield statements.MARK_SPEAKERS, list(changes.speakers.marks.values())
    yield statements.PUT_SESSIONS, list(changes.sessions.rows.values())
    yield statements.MARK_SESSIONS, list(changes.sessions.marks.values())
    yield (
        statements.CLEAR_SESSION_SPEAKERS,
        [
            {"spreaview_event_id": row["spreaview_event_id"], "session_id": row["session_id"]}
            for row in changes.sessions.rows.values()
        ],
    )
    yield (
        statements.PUT_SESSION_SPEAKERS,
        [row for rows in changes.session_speakers.values() for row in rows],
    )
    yield statements.PUT_SKIPS, [row for row in changes.skips.values() if row is not None]
    yield (
        statements.REMOVE_SKIPS,
        [
            {"spreaview_event_id": event, "sessionize_id": sessionize_id}
            for (event, sessionize_id), row in changes.skips.items()
            if row is None
        ],
    )
    yield statements.MOVE_PROGRESS, list(changes.progress.values())
