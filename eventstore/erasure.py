"""Erasure: what the log keeps of a person beside its events is deleted; they stay provable."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import SpeakerErased
from eventstore import statements
from eventstore.append import append_to_head
from eventstore.leadership import TELLING
from eventstore.model import NewEvent

_TELL_NOBODY = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=TELLING)

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

_SOURCES = """
    SELECT digest FROM event_store.sources
    WHERE digest = ANY(CAST(:documents AS bytea[]))
       OR digest IN (SELECT decode(e.data->'source'->>'digest', 'hex')
                     FROM event_store.events e
                     WHERE e.stream_id = ANY(CAST(:stream_ids AS uuid[]))
                       AND e.type IN ('SyncCompleted', 'SyncFailed'))
    ORDER BY digest
"""
_FIND_SOURCES = text(_SOURCES)
_LOCK_SOURCES = text(f"{_SOURCES} FOR UPDATE")

_DELETE_SOURCES = text("""
    DELETE FROM event_store.sources WHERE digest = ANY(CAST(:digests AS bytea[]))
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


async def silence_relay(connection: AsyncConnection) -> None:
    """Wait until the relay has published what it has read; until the transaction ends it waits.

    A batch takes half a minute at most, if Kafka does not answer. Before all other locks, so that
    nobody else waits for Kafka.
    """
    await connection.execute(_TELL_NOBODY)


async def erase_subject(
    connection: AsyncConnection,
    *,
    organization_id: UUID,
    subject: UUID,
    erasure_id: UUID,
    documents: Collection[bytes] | None,
) -> Erased:
    """Forget a person, in the caller's transaction, under the log's lock until its end.

    `subject` is the id of a speaker, or `identity.requester_subject`. `documents` are the digests
    of those that tell of the person: they are deleted, and so are the documents behind the runs of
    the streams that know them; with None all are kept.

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
    # As an append does it: the stream, its source, the log.
    sources = {**wanted, "documents": list(documents or ())}
    digests: list[bytes] = []
    if documents is not None:
        digests = list((await connection.execute(_LOCK_SOURCES, sources)).scalars())
    recorded_at: datetime = (await connection.execute(statements.LOCK_LOG)).scalar_one()
    if list((await connection.execute(_STREAMS, of)).scalars()) != stream_ids:
        raise ErasureRepeatError
    if documents is not None:
        found = (await connection.execute(_FIND_SOURCES, sources)).scalars()
        if not set(found) <= set(digests):
            raise ErasureRepeatError
        await connection.execute(_DELETE_SOURCES, {"digests": digests})
    deleted = await connection.execute(_DELETE_PERSONAL_DATA, of)
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
    return Erased(stream_ids, deleted.rowcount, len(digests))


async def lift_erasure(connection: AsyncConnection, subject: UUID) -> bool:
    """Let the next runs tell of the person again; False if they were not erased."""
    lifted = await connection.execute(_LIFT, {"subject": subject})
    return bool(lifted.rowcount)
