"""The speakers whom the stored documents of an organization name.

A document may name a speaker although no event has imported them.
"""

import asyncio
import zlib
from collections.abc import Iterator
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.identity import speaker_id
from worker.rules.reading import read_document
from worker.rules.spelling import canonical_id, spellings_of
from worker.rules.sync_failures import SyncFailure

DOCUMENTS = text("""
    SELECT s.digest FROM event_store.sources s
    WHERE s.digest IN (
        SELECT decode(e.data->'source'->>'digest', 'hex') FROM event_store.events e
        WHERE e.type IN ('SyncCompleted', 'SyncFailed')
          AND e.data->>'organization_id' = :organization_id)
""")

DOCUMENT = text("SELECT body FROM event_store.sources WHERE digest = :digest")


class DocumentSpeakers:
    """Sessionize's ids of the speakers in each stored document of an organization.

    A GUID is in it in lower case, and as the document spells it.
    """

    def __init__(self, organization_id: UUID) -> None:
        self._organization_id = organization_id
        self._speakers: dict[bytes, frozenset[str] | None] = {}
        """By digest; None for a document that cannot be read."""

    async def read_new(self, connection: AsyncConnection) -> None:
        """Read the documents that were stored since the last call."""
        found = await connection.execute(DOCUMENTS, {"organization_id": str(self._organization_id)})
        for digest in [digest for digest in found.scalars() if digest not in self._speakers]:
            body = (await connection.execute(DOCUMENT, {"digest": digest})).scalar_one_or_none()
            # In a thread: a long document would stop the heartbeats of this process for seconds.
            self._speakers[digest] = (
                frozenset() if body is None else await asyncio.to_thread(_speakers_in, body)
            )

    def all_ids(self) -> Iterator[tuple[str, UUID]]:
        """Yield Sessionize's id and ours of each speaker in the readable documents."""
        for key in {key for keys in self._speakers.values() if keys for key in keys}:
            yield key, speaker_id(self._organization_id, key)

    def naming(self, subject: UUID, *, is_known: bool) -> set[bytes]:
        """Return the digests of the documents that name a speaker, in any spelling of the id.

        An unreadable document may name anybody, so it counts as naming everybody who is known: by
        another document, or for the reason that the caller gives in `is_known`.
        """
        keys = {
            canonical_id(key)
            for keys in self._speakers.values()
            for key in keys or ()
            if any(speaker_id(self._organization_id, s) == subject for s in spellings_of(key))
        }
        if not (keys or is_known):
            return set()
        return {
            digest
            for digest, speakers in self._speakers.items()
            if speakers is None or keys & speakers
        }


def _speakers_in(body: bytes) -> frozenset[str] | None:
    try:
        schedule = read_document(
            zlib.decompress(body),
            organization_id=UUID(int=0),  # neither id is needed to find speakers
            spreaview_event_id=UUID(int=0),
            zone=ZoneInfo("UTC"),
        ).schedule
    except SyncFailure:
        return None
    except zlib.error:
        return frozenset()
    return schedule.speaker_spellings | schedule.speakers.keys()
