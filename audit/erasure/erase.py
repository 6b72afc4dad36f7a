"""Erasing a person from the log and from every generation of read models."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure.documents import DocumentSpeakers
from contracts.identity import requester_subject
from eventstore.erasure import (
    Erased,
    ErasureRepeatError,
    erase_subject,
    lift_erasure,
    silence_relay,
)
from eventstore.personal_data import streams_of
from projections.generations import forget_requester, forget_speaker


class ErasureReport(NamedTuple):
    """The outcome of an erasure."""

    subject: UUID
    """The id of the person."""
    erasure_id: UUID
    """The `sync_id` of the `SpeakerErased` events."""
    erased: Erased
    rows: int
    """Rows of read models, in all generations, that lost their personal fields."""

    def to_json(self) -> dict[str, object]:
        """The report as JSON values; `speaker_id` is the subject."""
        return {
            "speaker_id": str(self.subject),
            "erasure_id": str(self.erasure_id),
            "spreaview_event_ids": [str(stream_id) for stream_id in self.erased.stream_ids],
            "personal_data": self.erased.personal_data,
            "sources": self.erased.sources,
            "rows": self.rows,
        }


async def erase(engine: AsyncEngine, organization_id: UUID, speaker_id: UUID) -> ErasureReport:
    """Erase a speaker of an organization, in one transaction. Safe to repeat.

        report = await erase(engine, organization_id, speaker_id)

    The speaker stays linked to their sessions without personal fields, even if Sessionize still
    lists them, until the erasure is lifted. An unknown person is forgotten in advance, and no
    document is deleted. `audit.erasure.find` finds out whether the organization knows a person.
    """
    erasure_id = uuid4()
    documents = DocumentSpeakers(organization_id)
    async with engine.connect() as connection:  # read most documents before the log is locked
        await documents.read_new(connection)
    while True:
        try:
            async with engine.begin() as connection:
                await silence_relay(connection)
                rows = await _forget(connection, organization_id, speaker_id)
                has_data = bool(await streams_of(connection, speaker_id))
                naming = documents.naming(speaker_id, is_known=has_data)
                erased = await erase_subject(
                    connection,
                    organization_id=organization_id,
                    subject=speaker_id,
                    erasure_id=erasure_id,
                    documents=naming,
                )
                await documents.read_new(connection)
                if documents.naming(speaker_id, is_known=has_data) - naming:
                    raise ErasureRepeatError
                return ErasureReport(speaker_id, erasure_id, erased, rows)
        except ErasureRepeatError:
            continue


async def erase_requester(
    engine: AsyncEngine, organization_id: UUID, requested_by: str
) -> ErasureReport:
    """Erase a requester of syncs of an organization, in one transaction. Safe to repeat.

    Their name is removed from all past runs, and left out of future runs until the erasure is
    lifted. `requested_by` must have passed through `worker.rules.text.clean_title`.
    """
    erasure_id, subject = uuid4(), requester_subject(organization_id, requested_by)
    while True:
        try:
            async with engine.begin() as connection:
                await silence_relay(connection)
                rows = await _forget(connection, organization_id, subject)
                erased = await erase_subject(
                    connection,
                    organization_id=organization_id,
                    subject=subject,
                    erasure_id=erasure_id,
                    documents=None,
                )
                return ErasureReport(subject, erasure_id, erased, rows)
        except ErasureRepeatError:
            continue


async def _forget(connection: AsyncConnection, organization_id: UUID, subject: UUID) -> int:
    """Clear the rows of a person, speaker or requester: an id does not show which it is."""
    speakers = await forget_speaker(connection, organization_id, subject)
    return speakers + await forget_requester(connection, organization_id, subject)


async def lift(engine: AsyncEngine, subject: UUID) -> bool:
    """End an erasure: the next run imports the person's data again. False if there was none."""
    async with engine.begin() as connection:
        return await lift_erasure(connection, subject)
