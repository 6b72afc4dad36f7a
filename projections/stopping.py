"""Stop streams at an event that cannot be applied, or because they are ahead of the log."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.error_text import describe_error
from eventstore.driver import Executor
from eventstore.errors import is_database_outage
from eventstore.model import Recorded
from eventstore.read import read_streams
from projections import statements
from projections.changes import project
from projections.statements import IS_AHEAD
from projections.status import AHEAD_AMONG, AheadStream
from projections.write import write

HOLD_PROGRESS = text("""
    SELECT version FROM stream_progress WHERE spreaview_event_id = :stream_id FOR UPDATE
""")

# The row exists and is locked.
STOP_STREAM = text("""
    UPDATE stream_progress
    SET error = :error, stopped_at = clock_timestamp(), code_version = :code_version,
        stopped_by = :stopped_by
    WHERE spreaview_event_id = :stream_id
""")

# Streams stopped by another version of this code: this version may be able to resume them.
STOPPED_BY_OTHERS = text(f"""
    SELECT p.spreaview_event_id, p.version FROM stream_progress p
    WHERE p.error IS NOT NULL AND p.code_version IS DISTINCT FROM :code_version
      AND NOT ({IS_AHEAD})
    ORDER BY p.spreaview_event_id
""")  # noqa: S608 (of constants)

RESUME_STREAM = text(f"""
    UPDATE stream_progress p
    SET error = NULL, stopped_at = NULL, code_version = NULL, stopped_by = NULL
    WHERE p.spreaview_event_id = :stream_id AND p.error IS NOT NULL AND NOT ({IS_AHEAD})
""")  # noqa: S608 (of constants)


class AheadOfTheLogError(Exception):
    """The last applied event of a stream is not in the log."""

    def __init__(self, stream: AheadStream) -> None:
        super().__init__(
            f"version {stream.version} is applied, but the log does not have that event (its last "
            f"version is {stream.log_version}): it was restored or replaced. Remedy: "
            "spreaview-sync projections repair --ahead"
        )


async def stop(
    connection: AsyncConnection, stream_id: UUID, error: Exception, code_version: str
) -> int:
    """Record that a stream has stopped, and at which event; return its applied version.

    Nothing is recorded if another projector has meanwhile applied every event of the stream. The
    caller's transaction has selected a generation.
    """
    await connection.execute(statements.CREATE_PROGRESS, {"stream_ids": [stream_id]})
    held = await connection.execute(HOLD_PROGRESS, {"stream_id": stream_id})
    version: int = held.scalar_one()
    if events := await read_streams(connection, {stream_id: version}):
        culprit = await _first_that_fails(connection, events)
        await _record(connection, stream_id, error, code_version, culprit)
    return version


async def stop_ahead(
    connection: Executor, stream_ids: Sequence[UUID], code_version: str
) -> dict[UUID, AheadOfTheLogError]:
    """Stop the streams that are ahead of the log; return an error for each of them.

    The caller has locked the progress rows in an earlier statement, so the result stays true until
    the transaction ends.
    """
    if not stream_ids:
        return {}
    found = await connection.execute(AHEAD_AMONG, {"stream_ids": list(stream_ids)})
    streams = [AheadStream(*row) for row in found.all()]
    ahead = {stream.stream_id: AheadOfTheLogError(stream) for stream in streams}
    for stream_id, error in ahead.items():
        await _record(connection, stream_id, error, code_version, None)
    return ahead


async def _record(
    connection: Executor,
    stream_id: UUID,
    error: Exception,
    code_version: str,
    culprit: Recorded | None,
) -> None:
    await connection.execute(
        STOP_STREAM,
        {
            "stream_id": stream_id,
            "error": describe_error(error),
            "code_version": code_version,
            "stopped_by": culprit.position if culprit else None,
        },
    )


async def _first_that_fails(
    connection: AsyncConnection, events: Sequence[Recorded]
) -> Recorded | None:
    """Return the first event that cannot be applied, found by applying them one by one.

    Everything is rolled back. Returns None if each event can be applied separately.
    """
    savepoint = await connection.begin_nested()
    culprit = None
    for event in events:
        try:
            await write(connection, project([event]))
        except Exception as error:
            if is_database_outage(error):
                raise
            culprit = event
            break
    await savepoint.rollback()
    return culprit
