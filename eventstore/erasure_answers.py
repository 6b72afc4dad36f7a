"""The answers to erasure requests, one for each request.

Holds the statements of `event_store.erasures`.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

INSERT_ANSWER = text("""
    INSERT INTO event_store.erasures (
        request_id, organization_id, speaker_id, status, streams, reason, erased_at)
    VALUES (:request_id, :organization_id, :speaker_id, :status, :streams, :reason,
            coalesce(CAST(:answered_at AS timestamptz), clock_timestamp()))
    ON CONFLICT (request_id) DO NOTHING
""")

READ_ANSWER = text("""
    SELECT request_id, organization_id, speaker_id, status, streams, reason, erased_at
    FROM event_store.erasures WHERE request_id = :request_id
""")

DONE = "done"
REFUSED = "refused"


class ErasureAnswer(NamedTuple):
    """What came of an erasure request."""

    request_id: UUID
    organization_id: UUID
    speaker_id: UUID | None
    status: str
    """`DONE` or `REFUSED`."""
    streams: int = 0
    """Streams that had data of the speaker."""
    reason: str | None = None
    """Why it was refused, and the remedy."""
    answered_at: datetime | None = None
    """None: when it is stored."""


async def read_answer(connection: AsyncConnection, request_id: UUID) -> ErasureAnswer | None:
    """Return the answer to a request, of any organization; None if it has none yet."""
    found = await connection.execute(READ_ANSWER, {"request_id": request_id})
    row = found.one_or_none()
    return None if row is None else ErasureAnswer(*row)


async def write_answer(connection: AsyncConnection, answer: ErasureAnswer) -> bool:
    """Store an answer; False if the request has one already, perhaps of another process.

    A transaction that writes the answer to the same request waits for the first one to end.
    """
    written = await connection.execute(INSERT_ANSWER, answer._asdict())
    return bool(written.rowcount)
