"""Repair: replace the rows of one stream by rows made from the log, in one transaction."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.error_text import describe_error
from eventstore.errors import is_database_outage
from projections import statements
from projections.generations import (
    GenerationAccessError,
    NoGenerationError,
    select_live_generation,
)
from projections.projector import apply_next
from projections.stopping import HOLD_PROGRESS

COUNT_ROWS = text("""
    SELECT (SELECT count(*) FROM sync_runs WHERE spreaview_event_id = :stream_id) AS sync_runs,
           (SELECT count(*) FROM rooms WHERE spreaview_event_id = :stream_id) AS rooms,
           (SELECT count(*) FROM event_speakers WHERE spreaview_event_id = :stream_id)
               AS event_speakers,
           (SELECT count(*) FROM sessions WHERE spreaview_event_id = :stream_id) AS sessions,
           (SELECT count(*) FROM session_speakers WHERE spreaview_event_id = :stream_id)
               AS session_speakers,
           (SELECT count(*) FROM skipped_sessions WHERE spreaview_event_id = :stream_id)
               AS skipped_sessions
""")

CLEAR_STREAM = text("""
    WITH runs AS (DELETE FROM sync_runs WHERE spreaview_event_id = :stream_id),
         rooms AS (DELETE FROM rooms WHERE spreaview_event_id = :stream_id),
         speakers AS (DELETE FROM event_speakers WHERE spreaview_event_id = :stream_id),
         sessions AS (DELETE FROM sessions WHERE spreaview_event_id = :stream_id),
         links AS (DELETE FROM session_speakers WHERE spreaview_event_id = :stream_id)
    DELETE FROM skipped_sessions WHERE spreaview_event_id = :stream_id
""")

RESET_PROGRESS = text("""
    UPDATE stream_progress
    SET version = 0, position = 0, error = NULL, stopped_at = NULL, code_version = NULL,
        stopped_by = NULL
    WHERE spreaview_event_id = :stream_id
""")

FORGET_UNKNOWN = text("""
    WITH gone AS (
        DELETE FROM stream_progress p
        WHERE p.spreaview_event_id = :stream_id AND p.version = 0
          AND NOT EXISTS (SELECT FROM event_store.streams s WHERE s.stream_id = :stream_id)
    )
    SELECT version FROM stream_progress WHERE spreaview_event_id = :stream_id
""")


class RepairError(Exception):
    """An event of the stream cannot be applied. Nothing has changed.

    Remedy: fix the cause, perhaps with another version of this program, and repair again.
    """

    def __init__(self, stream_id: UUID, error: Exception) -> None:
        super().__init__(describe_error(error))
        self.stream_id = stream_id

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections repair --json`."""
        return {"spreaview_event_id": str(self.stream_id), "error": str(self)}


class Repaired(NamedTuple):
    """The result of a repair."""

    stream_id: UUID
    before: Mapping[str, int]
    """Number of rows by table."""
    after: Mapping[str, int]
    version: int
    """The applied version now; 0, without any rows, if the log does not know the stream."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections repair --json`."""
        return {
            "spreaview_event_id": str(self.stream_id),
            "version": self.version,
            "rows": {"before": dict(self.before), "after": dict(self.after)},
        }


async def repair(engine: AsyncEngine, stream_id: UUID) -> Repaired:
    """Replace the rows of a stream by rows made from the log, whether it has stopped or not.

        repaired = await repair(engine, spreaview_event_id)

    Readers see either the old rows or the new ones. Projectors wait for the stream meanwhile.

    Raises:
        RepairError: an event of the stream cannot be applied; nothing has changed.
        sqlalchemy.exc.DBAPIError, OSError: the database is unreachable; nothing has changed.
        NoGenerationError, GenerationAccessError: as `select_live_generation`.
    """
    try:
        return await _repair(engine, stream_id)
    except (NoGenerationError, GenerationAccessError):
        raise
    except Exception as error:
        if is_database_outage(error):
            raise
        raise RepairError(stream_id, error) from None  # its context may quote the row


async def _repair(engine: AsyncEngine, stream_id: UUID) -> Repaired:
    params = {"stream_ids": [stream_id]}
    async with engine.begin() as connection:
        await select_live_generation(connection)
        await connection.execute(statements.CREATE_PROGRESS, params)
        await connection.execute(HOLD_PROGRESS, {"stream_id": stream_id})
        before = await _count(connection, stream_id)
        await connection.execute(CLEAR_STREAM, {"stream_id": stream_id})
        await connection.execute(RESET_PROGRESS, {"stream_id": stream_id})
        while (await apply_next(connection, [stream_id])).positions:
            pass
        after = await _count(connection, stream_id)
        found = await connection.execute(FORGET_UNKNOWN, {"stream_id": stream_id})
        version = found.scalar_one()
    return Repaired(stream_id, before, after, version)


async def _count(connection: AsyncConnection, stream_id: UUID) -> Mapping[str, int]:
    row = (await connection.execute(COUNT_ROWS, {"stream_id": stream_id})).one()
    return dict(row._mapping)  # noqa: SLF001 (that is its public name)
