"""Finding the person who asked to be forgotten, however the id was typed.

A misread id would erase nobody, so only a person whom the organization knows is found. The
organization knows the persons in its log, in its stored documents, and among its erasures.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure.documents import DocumentSpeakers
from audit.past.entities import read_uuid
from contracts.identity import requester_subject, speaker_id
from worker.rules.spelling import canonical_id, spellings_of

# The events of an imported speaker keep both ids after an erasure.
IMPORTED_SPEAKERS = text("""
    SELECT DISTINCT CAST(e.data->>'speaker_id' AS uuid) AS speaker_id
    FROM event_store.events e
    WHERE e.type = 'SpeakerImported' AND e.data->>'organization_id' = :organization_id
      AND (e.data->>'speaker_id' = ANY(CAST(:speaker_ids AS text[]))
           OR lower(e.data->>'sessionize_id') = :guid)
    ORDER BY speaker_id
""")

KNOWN_SUBJECTS = text("""
    SELECT subject FROM event_store.erased_subjects
    WHERE subject = ANY(CAST(:subjects AS uuid[])) AND organization_id = :organization_id
    UNION
    SELECT p.subject FROM event_store.personal_data p JOIN event_store.events e USING (message_id)
    WHERE p.subject = ANY(CAST(:subjects AS uuid[]))
      AND e.data->>'organization_id' = CAST(:organization_id AS text)
""")

SESSIONIZE_IDS = text("""
    SELECT DISTINCT e.data->>'sessionize_id' FROM event_store.events e
    WHERE e.type = 'SpeakerImported' AND e.data->>'organization_id' = :organization_id
""")

ERASED_AMONG = text("""
    SELECT subject FROM event_store.erased_subjects
    WHERE subject = ANY(CAST(:subjects AS uuid[])) AND organization_id = :organization_id
""")


class FoundPerson(NamedTuple):
    """The person that an id or a name stands for in one organization."""

    organization_id: UUID
    subjects: list[UUID]
    """Our ids of the person. An imported speaker has one for each spelling of the GUID that is in
    use, and one for the spelling that a later import would use."""
    is_known: bool
    """Whether the organization knows the person."""
    is_our_id: bool = False
    """Whether an id of ours was given: if unknown, it leads to nobody who could be forgotten."""


async def find_speaker(engine: AsyncEngine, organization_id: UUID, given: str) -> FoundPerson:
    """Find a speaker by our id or by the speaker's id in Sessionize.

        person = await find_speaker(engine, organization_id, "0A1B2C3D-4E5F-4A6B-8C7D-9E0F1A2B3C4D")

    Ids with the form of a UUID are read in any case, with blanks and without hyphens. A UUID of
    version 5 is ours.
    """
    uuid = read_uuid(given)
    spellings = [given.strip()] if uuid is None else [str(uuid), str(uuid).upper(), given.strip()]
    candidates = [speaker_id(organization_id, spelling) for spelling in dict.fromkeys(spellings)]
    is_our_id = uuid is not None and uuid.version == 5
    if uuid is not None and is_our_id:
        candidates.insert(0, uuid)
    guid = None if uuid is None else str(uuid)
    async with engine.connect() as connection:
        known = await _imported(connection, organization_id, candidates, guid)
        known |= await _known_subjects(connection, organization_id, candidates)
        if not known:
            known = await _in_documents(connection, organization_id, candidates, guid)
        every = await _in_every_spelling(connection, organization_id, known or set(candidates))
    if known or every:
        subjects = [*sorted(known), *sorted(every - known)]
        return FoundPerson(organization_id, subjects, is_known=True)
    return FoundPerson(organization_id, candidates[:1], is_known=False, is_our_id=is_our_id)


async def find_by_our_id(
    engine: AsyncEngine, organization_id: UUID, speaker_id: UUID
) -> FoundPerson:
    """Find a speaker by our id only. A requester of syncs is not a speaker, so not found.

    The first of the subjects is the given id; ids of other spellings in Sessionize follow.
    """
    async with engine.connect() as connection:
        known = await _speakers(connection, organization_id, [speaker_id], None)
        known |= await _in_every_spelling(connection, organization_id, {speaker_id})
    subjects = [speaker_id, *sorted(known - {speaker_id})]
    return FoundPerson(organization_id, subjects, is_known=bool(known), is_our_id=True)


async def find_by_sessionize_id(
    engine: AsyncEngine, organization_id: UUID, sessionize_id: str
) -> FoundPerson:
    """Find a speaker by the id in Sessionize only, in every spelling.

    The first of the subjects is the id that a later import would use, or else the one in use.
    `sessionize_id` has passed through `worker.rules.ids.read_id`.
    """
    async with engine.connect() as connection:
        first, known = await _named(connection, organization_id, sessionize_id)
    subjects = [first, *sorted(known - {first})]
    return FoundPerson(organization_id, subjects, is_known=bool(known))


async def find_requester(
    engine: AsyncEngine, organization_id: UUID, requested_by: str
) -> FoundPerson:
    """Find a requester of syncs by the name, cleaned by `worker.rules.text.clean_title`."""
    subject = requester_subject(organization_id, requested_by)
    async with engine.connect() as connection:
        known = await _known_subjects(connection, organization_id, [subject])
    return FoundPerson(organization_id, [subject], is_known=bool(known))


async def _in_every_spelling(
    connection: AsyncConnection, organization_id: UUID, ids: Set[UUID]
) -> set[UUID]:
    """Return all ids of the imported speakers who have one of these ids in some spelling."""
    keys = await connection.execute(SESSIONIZE_IDS, {"organization_id": str(organization_id)})
    found = set[UUID]()
    for key in {
        canonical_id(key)
        for key in keys.scalars()
        if not ids.isdisjoint(speaker_id(organization_id, each) for each in spellings_of(key))
    }:
        first, known = await _named(connection, organization_id, key)
        found |= {first} | known
    return found


async def _named(
    connection: AsyncConnection, organization_id: UUID, sessionize_id: str
) -> tuple[UUID, set[UUID]]:
    """Return our id of a speaker by the id in Sessionize, and the known ids in every spelling."""
    spellings = list(spellings_of(sessionize_id))
    candidates = [speaker_id(organization_id, spelling) for spelling in spellings]
    guid = sessionize_id.lower() if len(spellings) > 1 else None
    return candidates[0], await _speakers(connection, organization_id, candidates, guid)


async def _speakers(
    connection: AsyncConnection,
    organization_id: UUID,
    candidates: Sequence[UUID],
    guid: str | None,
) -> set[UUID]:
    """Return the speakers in the log, among the erasures, or else in the documents."""
    known = await _imported(connection, organization_id, candidates, guid)
    of = {"organization_id": organization_id, "subjects": candidates}
    known |= set((await connection.execute(ERASED_AMONG, of)).scalars())
    return known or await _in_documents(connection, organization_id, candidates, guid)


async def _imported(
    connection: AsyncConnection,
    organization_id: UUID,
    candidates: Iterable[UUID],
    guid: str | None,
) -> set[UUID]:
    found = await connection.execute(
        IMPORTED_SPEAKERS,
        {
            "organization_id": str(organization_id),
            "speaker_ids": [str(candidate) for candidate in candidates],
            "guid": guid,
        },
    )
    return set(found.scalars())


async def _known_subjects(
    connection: AsyncConnection, organization_id: UUID, subjects: Iterable[UUID]
) -> set[UUID]:
    found = await connection.execute(
        KNOWN_SUBJECTS, {"organization_id": organization_id, "subjects": list(subjects)}
    )
    return set(found.scalars())


async def _in_documents(
    connection: AsyncConnection,
    organization_id: UUID,
    candidates: Iterable[UUID],
    guid: str | None,
) -> set[UUID]:
    documents = DocumentSpeakers(organization_id)
    await documents.read_new(connection)
    wanted, ids = set(candidates), list(documents.all_ids())
    named = {canonical_id(key) for key, ours in ids if ours in wanted or key.lower() == guid}
    return {ours for key, ours in ids if canonical_id(key) in named}
