"""Erasure: delete everything about a person outside the events; the events stay provable.

Holds the statements of `event_store.erased_subjects`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4, uuid5

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

DELETE_ERASED_SUBJECT = text("""
    DELETE FROM event_store.erased_subjects
    WHERE subject = :subject AND organization_id = :organization_id
""")

# Ids are derived from the organization, so a person belongs to one.
OTHER_ORGANIZATION = text("""
    SELECT CAST(e.data->>'organization_id' AS uuid) AS organization_id
    FROM event_store.personal_data p JOIN event_store.events e USING (message_id)
    WHERE p.subject = :subject
      AND e.data->>'organization_id' <> CAST(CAST(:organization_id AS uuid) AS text)
    UNION ALL
    SELECT organization_id FROM event_store.erased_subjects
    WHERE subject = :subject AND organization_id <> :organization_id
    LIMIT 1
""")

ARE_KNOWN = text("""
    SELECT EXISTS (SELECT FROM event_store.events
                   WHERE message_id = ANY(CAST(:message_ids AS uuid[])))
""")


class Erased(NamedTuple):
    """The result of an erasure."""

    erasure_id: UUID
    """The `sync_id` of the `SpeakerErased` events."""
    stream_ids: list[UUID]
    """Streams that had personal data of the person; each got a `SpeakerErased`."""
    personal_data: int
    """Number of events that lost their personal fields."""
    sources: int
    """Number of deleted documents; their digests stay in the events."""


class ForeignPersonError(ValueError):
    """The person belongs to another organization. Nothing was erased."""

    def __init__(self, subject: UUID, organization_id: UUID, owner: UUID) -> None:
        super().__init__(
            f"the log has {subject} as a person of organization {owner}, not of "
            f"{organization_id}. Remedy: name that organization; if an erasure was recorded for it "
            "by mistake, lift that first"
        )


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
    event. If the log has the erasure under this id already, and it was lifted since, the new one
    gets an id of its own. After the commit no append can add personal data of the person.

    Raises:
        ErasureRepeatError: roll back, and call again.
        ForeignPersonError: one of them belongs to another organization.
    """
    for subject in subjects:
        of = {"subject": subject, "organization_id": organization_id}
        owner: UUID | None = (await connection.execute(OTHER_ORGANIZATION, of)).scalar_one_or_none()
        if owner is not None:
            raise ForeignPersonError(subject, organization_id, owner)
    of_subject = {s: await streams_of(connection, organization_id, [s]) for s in subjects}
    stream_ids = sorted(set().union(*of_subject.values()))
    if await _is_used(connection, erasure_id, of_subject):
        erasure_id = uuid4()
    for subject in subjects:
        await connection.execute(
            INSERT_ERASED_SUBJECT,
            {"subject": subject, "organization_id": organization_id, "erasure_id": erasure_id},
        )
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
    personal_data = await delete_personal_data(connection, organization_id, subjects)
    await delete_snapshots(connection, stream_ids)
    for stream_id in stream_ids:
        for subject in (subject for subject in subjects if stream_id in of_subject[subject]):
            event = SpeakerErased(
                sync_id=erasure_id,
                organization_id=organization_id,
                spreaview_event_id=stream_id,
                speaker_id=subject,
            )
            new = NewEvent(erased_message_id(erasure_id, stream_id, subject), event)
            await append_to_head(connection, stream_id, new, recorded_at)
    return Erased(erasure_id, stream_ids, personal_data, len(digests))


async def _is_used(
    connection: AsyncConnection, erasure_id: UUID, streams: Mapping[UUID, Sequence[UUID]]
) -> bool:
    """Whether the log has a `SpeakerErased` of this erasure for one of the persons."""
    message_ids = [
        erased_message_id(erasure_id, stream_id, subject)
        for subject, stream_ids in streams.items()
        for stream_id in stream_ids
    ]
    found = await connection.execute(ARE_KNOWN, {"message_ids": message_ids})
    return bool(found.scalar_one())


async def lift_erasure(connection: AsyncConnection, organization_id: UUID, subject: UUID) -> bool:
    """Let later runs store data of the person again; False if the person was not erased."""
    of = {"organization_id": organization_id, "subject": subject}
    lifted = await connection.execute(DELETE_ERASED_SUBJECT, of)
    return bool(lifted.rowcount)
