"""Erasing a person from the log and from every generation of read models."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure.documents import DocumentSpeakers
from contracts.identity import requester_subject
from eventstore.erasure import (
    Erased,
    ErasureRepeatError,
    erase_subjects,
    lift_erasure,
    silence_relay,
)
from eventstore.erasure_answers import DONE, ErasureAnswer, write_answer
from eventstore.personal_data import streams_of
from projections.generations import forget_requester, forget_speaker


class ErasureReport(NamedTuple):
    """The outcome of an erasure."""

    subject: UUID
    """The id of the person."""
    erased: Erased
    rows: int
    """Rows of read models, in all generations, that lost their personal fields."""

    def to_json(self) -> dict[str, object]:
        """The report as JSON values; `speaker_id` is the subject."""
        return {
            "speaker_id": str(self.subject),
            "erasure_id": str(self.erased.erasure_id),
            "spreaview_event_ids": [str(stream_id) for stream_id in self.erased.stream_ids],
            "personal_data": self.erased.personal_data,
            "sources": self.erased.sources,
            "rows": self.rows,
        }


Finish = Callable[[AsyncConnection, Erased], Awaitable[None]]
"""A last step in the transaction of an erasure. If it raises, nothing is erased."""

Forget = Callable[[AsyncConnection, UUID, UUID, Sequence[UUID]], Awaitable[int]]
"""Clears the rows of a person in an organization. The person has data in these streams.

Returns the number of rows that had data."""


async def erase(engine: AsyncEngine, organization_id: UUID, speaker_id: UUID) -> ErasureReport:
    """Erase a speaker of an organization, in one transaction. Safe to repeat.

        report = await erase(engine, organization_id, speaker_id)

    The speaker stays linked to their sessions without personal fields, even if Sessionize still
    lists them, until the erasure is lifted. An unknown person is forgotten in advance, and no
    document is deleted. `audit.erasure.find` finds out whether the organization knows a person.
    The erasure is stored as an answer, as if a request with its id had asked for it.

    Raises:
        ForeignPersonError: the person belongs to another organization.
    """

    async def note(connection: AsyncConnection, erased: Erased) -> None:
        ids = (erased.erasure_id, organization_id, speaker_id)
        await write_answer(connection, ErasureAnswer(*ids, DONE, streams=len(erased.stream_ids)))

    return await erase_speaker(
        engine, organization_id, [speaker_id], uuid4(), finish=note, forget=_forget
    )


async def erase_again(
    engine: AsyncEngine, organization_id: UUID, subject: UUID, erasure_id: UUID
) -> ErasureReport:
    """Repeat an erasure of a speaker or a requester under its id, on a restored log."""
    return await erase_speaker(engine, organization_id, [subject], erasure_id, forget=_forget)


async def erase_speaker(
    engine: AsyncEngine,
    organization_id: UUID,
    subjects: Sequence[UUID],
    erasure_id: UUID,
    *,
    finish: Finish | None = None,
    forget: Forget = forget_speaker,
) -> ErasureReport:
    """Erase a speaker under all of these ids, in one transaction that `finish` completes.

    The first id is the one to report. Safe to repeat.

    Raises:
        ForeignPersonError: one of them belongs to another organization.
    """
    documents = DocumentSpeakers(organization_id)
    async with engine.connect() as connection:  # read most documents before the log is locked
        await documents.read_new(connection)
    while True:
        try:
            async with engine.begin() as connection:
                await silence_relay(connection)
                rows = 0
                for subject in subjects:
                    streams = await streams_of(connection, organization_id, [subject])
                    rows += await forget(connection, organization_id, subject, streams)
                known = {s for s in subjects if await streams_of(connection, organization_id, [s])}
                naming = _naming(documents, subjects, known)
                erased = await erase_subjects(
                    connection,
                    organization_id=organization_id,
                    subjects=subjects,
                    erasure_id=erasure_id,
                    documents=naming,
                )
                await documents.read_new(connection)
                if _naming(documents, subjects, known) - naming:
                    raise ErasureRepeatError
                if finish is not None:
                    await finish(connection, erased)
                return ErasureReport(subjects[0], erased, rows)
        except ErasureRepeatError:
            continue


def _naming(
    documents: DocumentSpeakers, subjects: Sequence[UUID], known: Collection[UUID]
) -> set[bytes]:
    return {
        digest
        for subject in subjects
        for digest in documents.naming(subject, is_known=subject in known)
    }


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
                rows = await _forget(connection, organization_id, subject, ())
                erased = await erase_subjects(
                    connection,
                    organization_id=organization_id,
                    subjects=[subject],
                    erasure_id=erasure_id,
                    documents=None,
                )
                return ErasureReport(subject, erased, rows)
        except ErasureRepeatError:
            continue


async def _forget(
    connection: AsyncConnection,
    organization_id: UUID,
    subject: UUID,
    stream_ids: Sequence[UUID],
) -> int:
    """Clear the rows of a person, speaker or requester: an id does not show which it is."""
    speakers = await forget_speaker(connection, organization_id, subject, stream_ids)
    return speakers + await forget_requester(connection, organization_id, subject)


async def lift(engine: AsyncEngine, organization_id: UUID, subject: UUID) -> bool:
    """End an erasure: the next run imports the person's data again. False if there was none."""
    async with engine.begin() as connection:
        return await lift_erasure(connection, organization_id, subject)
