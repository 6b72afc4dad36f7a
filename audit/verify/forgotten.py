"""Verifying that erased persons stay forgotten: no data of theirs may be in the database again."""

from collections.abc import Iterable, Mapping, Set
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.documents import ERASED_SUBJECTS
from audit.verify.findings import FindingKind, Place
from audit.verify.named_documents import NamedDocuments
from audit.verify.report import VerificationReport
from contracts.codec import PERSONAL_FIELDS
from contracts.identity import requester_subject
from contracts.unpacking import unpacked
from eventstore.sources import READ_SOURCE
from projections.statements import ALL_SCHEMAS
from worker.rules.reading import read_document
from worker.rules.sync_failures import SyncFailure

KEPT_SUBJECTS = text("""
    SELECT p.subject, count(*) AS rows, min(e.position) AS position
    FROM event_store.personal_data p
    JOIN event_store.erased_subjects s USING (subject)
    LEFT JOIN event_store.events e USING (message_id)
    WHERE e.message_id IS NULL OR e.data->>'organization_id' = CAST(s.organization_id AS text)
    GROUP BY p.subject ORDER BY p.subject
""")

MAY_READ = text("""
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
    WHERE n.nspname = :schema AND c.relname = :table
""")

_SOMETHING_LEFT = " OR ".join(f"{name} IS NOT NULL" for name in PERSONAL_FIELDS["SpeakerImported"])


async def check_forgotten(
    connection: AsyncConnection,
    report: VerificationReport,
    named: NamedDocuments,
    sound: Set[bytes],
) -> None:
    """Look for erased persons in personal data, documents and all generations.

    `sound` are the digests of the stored documents that match them.
    """
    found = (await connection.execute(ERASED_SUBJECTS)).all()
    erased: dict[UUID, set[UUID]] = {}
    for row in found:
        erased.setdefault(row.organization_id, set()).add(row.subject)
    report.checked["erased persons"] += len(found)
    if not found:
        return
    for row in await connection.execute(KEPT_SUBJECTS):
        what = f"{row.rows} rows of personal data of the erased person {row.subject} are stored"
        report.add(FindingKind.FORGOTTEN, what, Place(position=row.position))
    await _check_documents(connection, report, named, sound, erased)
    for schema in (await connection.execute(ALL_SCHEMAS)).scalars().all():
        await _check_generation(connection, report, schema, erased)


async def _check_documents(
    connection: AsyncConnection,
    report: VerificationReport,
    named: NamedDocuments,
    sound: Iterable[bytes],
    erased: Mapping[UUID, Set[UUID]],
) -> None:
    for digest in sorted(sound):
        document = named.by_digest.get(digest)
        organizations = document.organization_ids & erased.keys() if document else set()
        if document is None or not organizations:
            continue
        row = (await connection.execute(READ_SOURCE, {"digest": digest})).one()
        body = unpacked(row.body, document.size_bytes)
        for organization_id in sorted(organizations):
            if _names(body, organization_id, erased[organization_id]):
                what = f"document {digest.hex()} names an erased person and is stored"
                report.add(FindingKind.FORGOTTEN, what, document.place)


def _names(body: bytes, organization_id: UUID, erased: Set[UUID]) -> bool:
    try:
        return read_document(
            body,
            organization_id=organization_id,
            spreaview_event_id=UUID(int=0),  # not needed to find speakers
            zone=ZoneInfo("UTC"),
            erased=erased,
        ).names_erased
    except SyncFailure:
        return False


async def _check_generation(
    connection: AsyncConnection,
    report: VerificationReport,
    schema: str,
    erased: Mapping[UUID, Set[UUID]],
) -> None:
    """Look for personal fields in the rows of a generation, live or not."""
    quoted = '"' + schema.replace('"', '""') + '"'
    if await _may_read(connection, report, schema, "event_speakers"):
        speakers = text(
            f"""SELECT organization_id, speaker_id, spreaview_event_id FROM {quoted}.event_speakers
                WHERE organization_id = ANY(CAST(:organizations AS uuid[]))
                  AND speaker_id = ANY(CAST(:subjects AS uuid[])) AND ({_SOMETHING_LEFT})
                ORDER BY spreaview_event_id, speaker_id"""  # noqa: S608 (an identifier)
        )
        subjects = [subject for each in erased.values() for subject in each]
        of = {"organizations": list(erased), "subjects": subjects}
        for row in await connection.execute(speakers, of):
            if row.speaker_id in erased[row.organization_id]:
                what = f"{schema}.event_speakers has data of the erased person {row.speaker_id}"
                report.add(FindingKind.FORGOTTEN, what, Place(row.spreaview_event_id))
    if await _may_read(connection, report, schema, "sync_runs"):
        runs = text(
            f"""SELECT organization_id, requested_by, spreaview_event_id, sync_id
                FROM {quoted}.sync_runs
                WHERE organization_id = ANY(CAST(:organizations AS uuid[]))
                  AND requested_by IS NOT NULL ORDER BY sync_id"""  # noqa: S608
        )
        for row in await connection.execute(runs, {"organizations": list(erased)}):
            subject = requester_subject(row.organization_id, row.requested_by)
            if subject in erased[row.organization_id]:
                what = f"{schema}.sync_runs has the name of the erased person {subject}"
                place = Place(row.spreaview_event_id, sync_id=row.sync_id)
                report.add(FindingKind.FORGOTTEN, what, place)


async def _may_read(
    connection: AsyncConnection, report: VerificationReport, schema: str, table: str
) -> bool:
    found = await connection.execute(MAY_READ, {"schema": schema, "table": table})
    may_read = found.scalar_one_or_none()
    if may_read is False:
        report.unchecked["erased persons in a generation that this role may not read"] += 1
    return bool(may_read)
