"""Erasure: what the log keeps of a person beside its events is deleted; they stay provable."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import SpeakerErased
from eventstore import statements
from eventstore.append import append_to_head
from eventstore.model import NewEvent

_ENTER = text("""
    INSERT INTO event_store.erased_subjects (subject, organization_id, erasure_id)
    VALUES (:subject, :organization_id, :erasure_id)
    ON CONFLICT (subject) DO NOTHING
""")

_STREAMS = text("""
    SELECT DISTINCT e.stream_id
    FROM event_store.personal_data p JOIN event_store.events e USING (message_id)
    WHERE p.subject = :subject
    ORDER BY e.stream_id
""")

_LOCK_STREAMS = text("""
    SELECT FROM event_store.streams
    WHERE stream_id = ANY(CAST(:stream_ids AS uuid[])) ORDER BY stream_id FOR UPDATE
""")

_DELETE_PERSONAL_DATA = text("DELETE FROM event_store.personal_data WHERE subject = :subject")

_DELETE_SOURCES = text("""
    DELETE FROM event_store.sources s
    USING event_store.events e
    WHERE e.stream_id = ANY(CAST(:stream_ids AS uuid[]))
      AND e.type IN ('SyncCompleted', 'SyncFailed')
      AND s.digest = decode(e.data->'source'->>'digest', 'hex')
""")

_DELETE_SNAPSHOTS = text("""
    DELETE FROM event_store.snapshots WHERE stream_id = ANY(CAST(:stream_ids AS uuid[]))
""")

_LIFT = text("DELETE FROM event_store.erased_subjects WHERE subject = :subject")


class Erased(NamedTuple):
    """What an erasure came to."""

    stream_ids: list[UUID]
    """Streams that knew the person, and got a `SpeakerErased`."""
    personal_data: int
    """Events that are without their personal fields now."""
    sources: int
    """Documents that were deleted; their digests stay in the events."""


class ErasureRepeatError(Exception):
    """Another run told something new of the person meanwhile: nothing was done, begin again."""


async def erase_subject(
    connection: AsyncConnection,
    *,
    organization_id: UUID,
    subject: UUID,
    erasure_id: UUID,
    in_documents: bool,
) -> Erased:
    """Forget a person, in the caller's transaction, under the log's lock until its end.

    `subject` is the id of a speaker, or `identity.requester_subject`; with `in_documents` the
    documents behind the runs of the streams that know the person are deleted, too.

    Safe to repeat: what is gone stays gone, and a stream that knows nothing of the person gets no
    event. From the commit on no append carries personal data of them.

    Raises:
        ErasureRepeatError: roll back, and call again.
    """
    of = {"subject": subject}
    await connection.execute(
        _ENTER, {**of, "organization_id": organization_id, "erasure_id": erasure_id}
    )
    stream_ids = list((await connection.execute(_STREAMS, of)).scalars())
    wanted = {"stream_ids": stream_ids}
    await connection.execute(_LOCK_STREAMS, wanted)
    recorded_at: datetime = (await connection.execute(statements.LOCK_LOG)).scalar_one()
    if list((await connection.execute(_STREAMS, of)).scalars()) != stream_ids:
        raise ErasureRepeatError
    deleted = await connection.execute(_DELETE_PERSONAL_DATA, of)
    sources = 0
    if in_documents:
        sources = (await connection.execute(_DELETE_SOURCES, wanted)).rowcount
    await connection.execute(_DELETE_SNAPSHOTS, wanted)
    for stream_id in stream_ids:
        event = SpeakerErased(
            sync_id=erasure_id,
            organization_id=organization_id,
            spreaview_event_id=stream_id,
            speaker_id=subject,
        )
        new = NewEvent(uuid5(erasure_id, f"{stream_id}:{subject}"), event)
        await append_to_head(connection, stream_id, new, recorded_at)
    return Erased(stream_ids, deleted.rowcount, sources)


async def lift_erasure(connection: AsyncConnection, subject: UUID) -> bool:
    """Let the next runs tell of the person again; False if they were not erased."""
    lifted = await connection.execute(_LIFT, {"subject": subject})
    return bool(lifted.rowcount)
