"""Repair: the rows of one stream made anew from the log, in one transaction."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.error_text import describe_error
from eventstore.errors import is_database_outage
from projections import statements
from projections.generations import NoGenerationError, enter_live
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
    """The log has an event of the stream that cannot be applied. Nothing has changed.

    Remedy: mend the cause, which may take another version of this program, and repair again.
    """

    def __init__(self, stream_id: UUID, error: Exception) -> None:
        super().__init__(describe_error(error))
        self.stream_id = stream_id

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections repair --json`."""
        return {"spreaview_event_id": str(self.stream_id), "error": str(self)}


class Repaired(NamedTuple):
    """What a repair came to."""

    stream_id: UUID
    before: Mapping[str, int]
    """Rows by table."""
    after: Mapping[str, int]
    version: int
    """What is applied now; 0 where the log does not know the stream, and nothing is left of it."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections repair --json`."""
        return {
            "spreaview_event_id": str(self.stream_id),
            "version": self.version,
            "rows": {"before": dict(self.before), "after": dict(self.after)},
        }


async def repair(engine: AsyncEngine, stream_id: UUID) -> Repaired:
    """Make the rows of a stream anew, whatever they are now and whether it had stopped.

    Readers see the old rows or the new, nothing between. Projectors wait for the stream meanwhile.

    Raises:
        RepairError: an event of the stream cannot be applied; nothing has changed.
        sqlalchemy.exc.DBAPIError, OSError: the database is not there; nothing has changed.
        NoGenerationError: as `enter_live`.
    """
    try:
        return await _repair(engine, stream_id)
    except NoGenerationError:
        raise
    except Exception as error:
        if is_database_outage(error):
            raise
        raise RepairError(stream_id, error) from None  # its context may quote the row


async def _repair(engine: AsyncEngine, stream_id: UUID) -> Repaired:
    wanted = {"stream_ids": [stream_id]}
    async with engine.begin() as connection:
        await enter_live(connection)
        await connection.execute(statements.CREATE_PROGRESS, wanted)
        await connection.execute(HOLD_PROGRESS, {"stream_id": stream_id})
        before = await _count(connection, stream_id)
        await connection.execute(CLEAR_STREAM, {"stream_id": stream_id})
        await connection.execute(RESET_PROGRESS, {"stream_id": stream_id})
        while await apply_next(connection, [stream_id]):
            pass
        after = await _count(connection, stream_id)
        found = await connection.execute(FORGET_UNKNOWN, {"stream_id": stream_id})
        version = found.scalar_one()
    return Repaired(stream_id, before, after, version)


async def _count(connection: AsyncConnection, stream_id: UUID) -> Mapping[str, int]:
    row = (await connection.execute(COUNT_ROWS, {"stream_id": stream_id})).one()
    return dict(row._mapping)  # noqa: SLF001 (that is its public name)
