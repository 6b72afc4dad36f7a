"""Erasing a person from the log and from every generation of read models."""

import zlib
from typing import NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.identity import requester_subject
from eventstore.erasure import (
    Erased,
    ErasureRepeatError,
    erase_subject,
    lift_erasure,
    silence_relay,
)
from projections.generations import forget_requester, forget_speaker
from worker.rules.reading import read_document
from worker.rules.sync_failures import SyncFailure

_DOCUMENTS = text("""
    SELECT s.digest FROM event_store.sources s
    WHERE s.digest IN (
        SELECT decode(e.data->'source'->>'digest', 'hex') FROM event_store.events e
        WHERE e.type IN ('SyncCompleted', 'SyncFailed')
          AND e.data->>'organization_id' = :organization_id)
""")

_DOCUMENT = text("SELECT body FROM event_store.sources WHERE digest = :digest")


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
    lists them, until the erasure is lifted.
    """
    erasure_id = uuid4()
    names_speaker: dict[bytes, bool] = {}
    """By digest: whether the document names the speaker."""
    async with engine.connect() as connection:  # read most documents before the log is locked
        await _read_documents(connection, organization_id, speaker_id, names_speaker)
    while True:
        try:
            async with engine.begin() as connection:
                known = {digest for digest, named in names_speaker.items() if named}
                await silence_relay(connection)
                rows = await forget_speaker(connection, organization_id, speaker_id)
                erased = await erase_subject(
                    connection,
                    organization_id=organization_id,
                    subject=speaker_id,
                    erasure_id=erasure_id,
                    documents=known,
                )
                await _read_documents(connection, organization_id, speaker_id, names_speaker)
                if any(named and digest not in known for digest, named in names_speaker.items()):
                    raise ErasureRepeatError
                return ErasureReport(speaker_id, erasure_id, erased, rows)
        except ErasureRepeatError:
            continue


async def erase_requester(
    engine: AsyncEngine, organization_id: UUID, requested_by: str
) -> ErasureReport:
    """Erase a requester of syncs of an organization, in one transaction. Safe to repeat.

    Their name is removed from all past runs, and left out of future runs until the erasure is
    lifted. `requested_by` must have passed through `worker.rules.text.clean`.
    """
    erasure_id, subject = uuid4(), requester_subject(organization_id, requested_by)
    while True:
        try:
            async with engine.begin() as connection:
                await silence_relay(connection)
                rows = await forget_requester(connection, organization_id, requested_by)
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


async def _read_documents(
    connection: AsyncConnection,
    organization_id: UUID,
    speaker_id: UUID,
    names_speaker: dict[bytes, bool],
) -> None:
    """Note for each new document of the organization whether it names the speaker.

    A document may name the speaker although its event never imported them.
    """
    found = await connection.execute(_DOCUMENTS, {"organization_id": str(organization_id)})
    for digest in [digest for digest in found.scalars() if digest not in names_speaker]:
        body = (await connection.execute(_DOCUMENT, {"digest": digest})).scalar_one_or_none()
        names_speaker[digest] = body is not None and _names(body, organization_id, speaker_id)


def _names(body: bytes, organization_id: UUID, speaker_id: UUID) -> bool:
    try:
        reading = read_document(
            zlib.decompress(body),
            organization_id=organization_id,
            spreaview_event_id=organization_id,  # no event is needed to find speakers
            zone=ZoneInfo("UTC"),
            erased={speaker_id},
        )
    except SyncFailure:
        return True  # an unreadable document may name anybody
    except zlib.error:
        return False
    return reading.names_erased


async def lift(engine: AsyncEngine, subject: UUID) -> bool:
    """End an erasure: the next run imports the person's data again. False if there was none."""
    async with engine.begin() as connection:
        return await lift_erasure(connection, subject)
