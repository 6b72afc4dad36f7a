"""Erasure: delete everything about a person outside the events; the events stay provable.

Holds the statements of `event_store.erased_subjects`.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import SpeakerErased
from eventstore.append import append_to_head, lock_log, lock_streams
from eventstore.leadership import PUBLISHING
from eventstore.model import NewEvent
from eventstore.personal_data import delete_personal_data, streams_of
from eventstore.snapshots import delete_snapshots
from eventstore.sources import delete_sources, find_sources

_WAIT_FOR_RELAY = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=PUBLISHING)

INSERT_ERASED_SUBJECT = text("""
    INSERT INTO event_store.erased_subjects (subject, organization_id, erasure_id)
    VALUES (:subject, :organization_id, :erasure_id)
    ON CONFLICT (subject) DO NOTHING
""")

ERASED_SUBJECTS = text("""
    SELECT subject FROM event_store.erased_subjects WHERE organization_id = :organization_id
""")

DELETE_ERASED_SUBJECT = text("DELETE FROM event_store.erased_subjects WHERE subject = :subject")


class Erased(NamedTuple):
    """The result of an erasure."""

    stream_ids: list[UUID]
    """Streams that had personal data of the person; each got a `SpeakerErased`."""
    personal_data: int
    """Number of events that lost their personal fields."""
    sources: int
    """Number of deleted documents; their digests stay in the events."""


class ErasureRepeatError(Exception):
    """A run stored new data of the person meanwhile. Nothing was erased: roll back and repeat."""


def erased_message_id(erasure_id: UUID, stream_id: UUID, subject: UUID) -> UUID:
    """Return the message id of the `SpeakerErased` of an erasure on a stream."""
    return uuid5(erasure_id, f"{stream_id}:{subject}")


async def silence_relay(connection: AsyncConnection) -> None:
    """Wait until the relay has published what it has read, and keep it waiting until the commit.

    Takes up to half a minute if Kafka does not answer. Call it before taking any other lock, so
    that no other transaction waits for Kafka.
    """
    await connection.execute(_WAIT_FOR_RELAY)


async def erased_subjects(connection: AsyncConnection, organization_id: UUID) -> frozenset[UUID]:
    """Return the erased persons of an organization, speakers and requesters."""
    found = await connection.execute(ERASED_SUBJECTS, {"organization_id": organization_id})
    return frozenset(found.scalars())


async def erase_subjects(
    connection: AsyncConnection,
    *,
    organization_id: UUID,
    subjects: Sequence[UUID],
    erasure_id: UUID,
    documents: Collection[bytes] | None,
) -> Erased:
    """Erase a person in the caller's transaction. It holds the lock of the log until its end.

    `subjects` are the ids of the person: of a speaker, one for each spelling of the id in
    Sessionize, or `identity.requester_subject`. `documents` are the digests of the documents that
    name the person. These are deleted, as are the documents behind the runs of the streams with
    data of the person. None deletes no document.

    Safe to repeat: deleted data stay deleted, and a stream without data of the person gets no
    event. After the commit no append can add personal data of the person.

    Raises:
        ErasureRepeatError: roll back, and call again.
    """
    for subject in subjects:
        await connection.execute(
            INSERT_ERASED_SUBJECT,
            {"subject": subject, "organization_id": organization_id, "erasure_id": erasure_id},
        )
    stream_ids = await streams_of(connection, organization_id, subjects)
    await lock_streams(connection, stream_ids)
    # Locks in the order of an append: the stream, its source, the log.
    digests: list[bytes] = []
    if documents is not None:
        digests = await find_sources(connection, documents, stream_ids, lock=True)
    recorded_at = await lock_log(connection)
    if await streams_of(connection, organization_id, subjects) != stream_ids:
        raise ErasureRepeatError
    if documents is not None:
        if not set(await find_sources(connection, documents, stream_ids)) <= set(digests):
            raise ErasureRepeatError
        await delete_sources(connection, digests)
    of = {s: await streams_of(connection, organization_id, [s]) for s in subjects}
    personal_data = await delete_personal_data(connection, organization_id, subjects)
    await delete_snapshots(connection, stream_ids)
    for stream_id in stream_ids:
        for subject in (subject for subject in subjects if stream_id in of[subject]):
            event = SpeakerErased(
                sync_id=erasure_id,
                organization_id=organization_id,
                spreaview_event_id=stream_id,
                speaker_id=subject,
            )
            new = NewEvent(erased_message_id(erasure_id, stream_id, subject), event)
            await append_to_head(connection, stream_id, new, recorded_at)
    return Erased(stream_ids, personal_data, len(digests))


async def lift_erasure(connection: AsyncConnection, subject: UUID) -> bool:
    """Let later runs store data of the person again; False if the person was not erased."""
    lifted = await connection.execute(DELETE_ERASED_SUBJECT, {"subject": subject})
    return bool(lifted.rowcount)
