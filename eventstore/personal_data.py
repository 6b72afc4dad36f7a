"""Personal data: the personal fields of events, stored apart so that they can be deleted.

Holds the statements of `event_store.personal_data`.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codec import PersonalData
from eventstore.driver import Executor

_SALT_BYTES = 16

INSERT_PERSONAL_DATA = text("""
    INSERT INTO event_store.personal_data (message_id, subject, salt, body)
    SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:subjects AS uuid[]),
                         CAST(:salts AS bytea[]), CAST(:bodies AS jsonb[]))
""")

STREAMS_OF_SUBJECT = text("""
    SELECT DISTINCT e.stream_id
    FROM event_store.personal_data p JOIN event_store.events e USING (message_id)
    WHERE p.subject = ANY(CAST(:subjects AS uuid[]))
      AND e.data->>'organization_id' = :organization_id
    ORDER BY e.stream_id
""")

DELETE_PERSONAL_DATA = text("""
    DELETE FROM event_store.personal_data p USING event_store.events e
    WHERE e.message_id = p.message_id AND p.subject = ANY(CAST(:subjects AS uuid[]))
      AND e.data->>'organization_id' = :organization_id
""")


class PersonalRow(NamedTuple):
    """The personal fields of one event."""

    message_id: UUID
    subject: UUID
    salt: bytes
    body: bytes


def salted(message_id: UUID, personal: PersonalData) -> PersonalRow:
    """Add a random salt: without it, the digest in the event would let the fields be guessed."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return PersonalRow(message_id, personal.subject, salt, personal.body)


async def insert_personal_data(connection: Executor, rows: Sequence[PersonalRow]) -> None:
    """Store the rows. Raises `sqlalchemy.exc.IntegrityError` for a known message id."""
    await connection.execute(
        INSERT_PERSONAL_DATA,
        {
            "message_ids": [row.message_id for row in rows],
            "subjects": [row.subject for row in rows],
            "salts": [row.salt for row in rows],
            "bodies": [row.body.decode() for row in rows],
        },
    )


async def streams_of(
    connection: AsyncConnection, organization_id: UUID, subjects: Sequence[UUID]
) -> list[UUID]:
    """Return the streams of an organization with personal data of one of these ids, sorted."""
    of = {"organization_id": str(organization_id), "subjects": list(subjects)}
    return list((await connection.execute(STREAMS_OF_SUBJECT, of)).scalars())


async def delete_personal_data(
    connection: AsyncConnection, organization_id: UUID, subjects: Sequence[UUID]
) -> int:
    """Delete everything an organization has stored about these ids; return the number of events."""
    of = {"organization_id": str(organization_id), "subjects": list(subjects)}
    return (await connection.execute(DELETE_PERSONAL_DATA, of)).rowcount
