"""Erasing a person everywhere: the log, every generation of read models, in one transaction."""

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
    """Forget a speaker of an organization, in one transaction; safe to repeat.

    Afterwards they stay linked to their sessions without a personal field, whatever Sessionize
    says, until the erasure is lifted.
    """
    erasure_id = uuid4()
    telling: dict[bytes, bool] = {}
    async with engine.connect() as connection:  # most of it before the log is locked
        await _look(connection, organization_id, speaker_id, telling)
    while True:
        try:
            async with engine.begin() as connection:
                known = {digest for digest, tells in telling.items() if tells}
                await silence_relay(connection)
                rows = await forget_speaker(connection, organization_id, speaker_id)
                erased = await erase_subject(
                    connection,
                    organization_id=organization_id,
                    subject=speaker_id,
                    erasure_id=erasure_id,
                    documents=known,
                )
                await _look(connection, organization_id, speaker_id, telling)
                if any(tells and digest not in known for digest, tells in telling.items()):
                    raise ErasureRepeatError
                return ErasureReport(speaker_id, erasure_id, erased, rows)
        except ErasureRepeatError:
            continue


async def erase_requester(
    engine: AsyncEngine, organization_id: UUID, requested_by: str
) -> ErasureReport:
    """Forget who asked for syncs of an organization, in one transaction; safe to repeat.

    Afterwards nothing says who asked for those runs, nor for those that they ask for from now on,
    until the erasure is lifted. `requested_by` is as `worker.rules.text.clean` leaves it.
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


async def _look(
    connection: AsyncConnection,
    organization_id: UUID,
    speaker_id: UUID,
    telling: dict[bytes, bool],
) -> None:
    """Which documents tell of the speaker, those of an event that never imported them as well."""
    found = await connection.execute(_DOCUMENTS, {"organization_id": str(organization_id)})
    for digest in [digest for digest in found.scalars() if digest not in telling]:
        body = (await connection.execute(_DOCUMENT, {"digest": digest})).scalar_one_or_none()
        telling[digest] = body is not None and _tells(body, organization_id, speaker_id)


def _tells(body: bytes, organization_id: UUID, speaker_id: UUID) -> bool:
    try:
        reading = read_document(
            zlib.decompress(body),
            organization_id=organization_id,
            spreaview_event_id=organization_id,  # of no matter for who is named
            zone=ZoneInfo("UTC"),
            erased={speaker_id},
        )
    except SyncFailure:
        return True  # as a run keeps no document that it cannot read, once somebody is erased
    except zlib.error:
        return False
    return reading.names_erased


async def lift(engine: AsyncEngine, subject: UUID) -> bool:
    """End an erasure: the next run tells of the person again. False if there was none."""
    async with engine.begin() as connection:
        return await lift_erasure(connection, subject)
