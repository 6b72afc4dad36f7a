"""Verifying the documents behind the runs: their digests, and the reasons why some are gone."""

import hashlib
from collections.abc import AsyncIterator, Set
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import NOWHERE, FindingKind
from audit.verify.named_documents import NamedDocument, NamedDocuments
from audit.verify.report import VerificationReport
from contracts.unpacking import UnpackingError, unpacked_pieces
from contracts.wording import counted

DIGESTS = text("""
    SELECT digest, size_bytes, octet_length(body) AS packed_bytes FROM event_store.sources
    WHERE digest > :after ORDER BY digest LIMIT :limit
""")

DOCUMENT = text("SELECT body FROM event_store.sources WHERE digest = :digest LIMIT 1")

UNNAMED_ROWS = text("SELECT count(*) FROM event_store.sources WHERE digest IS NULL")

ERASED_SUBJECTS = text("SELECT organization_id, subject FROM event_store.erased_subjects")

# An erasure that was lifted since has its answer only.
ANSWERED_ERASURES = text("""
    SELECT DISTINCT organization_id FROM event_store.erasures WHERE status = 'done'
""")

MICROSECONDS_NOW = text("SELECT trunc(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")

_PAGE = 1000


class Retention(NamedTuple):
    """The settings that explain why a document is gone, or how large one may be."""

    age: timedelta | None = None
    """Documents that no run has used for this long are deleted; None keeps them forever."""
    max_bytes: int = 1 << 30
    """The largest document that a worker stores."""
    inbox_age: timedelta | None = None
    """Entries of the inbox that are older may be gone; None keeps them forever."""


NO_RETENTION = Retention()


async def check_documents(
    connection: AsyncConnection,
    report: VerificationReport,
    named: NamedDocuments,
    retention: Retention,
) -> set[bytes]:
    """Check every stored document, and find missing ones. Returns the sound digests."""
    kept, sound = set[bytes](), set[bytes]()
    async for digest, size_bytes, packed_bytes in _digests(connection):
        kept.add(digest)
        document = named.by_digest.get(digest)
        fault = await _fault_of(
            connection, digest, size_bytes, packed_bytes or 0, document, retention
        )
        if fault is None:
            sound.add(digest)
        else:
            place = document.place if document else NOWHERE
            report.add(FindingKind.SOURCE, f"document {digest.hex()} {fault}", place)
        report.checked["documents"] += 1
    if nameless := (await connection.execute(UNNAMED_ROWS)).scalar_one():
        report.add(FindingKind.SOURCE, f"{counted(nameless, 'document')} without a digest")
    await _check_missing(connection, report, named, kept, retention.age)
    return sound


async def _digests(connection: AsyncConnection) -> AsyncIterator[Any]:
    after = b""
    while True:
        found = await connection.execute(DIGESTS, {"after": after, "limit": _PAGE})
        rows = found.all()
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        after = rows[-1].digest


async def _fault_of(
    connection: AsyncConnection,
    digest: bytes,
    size_bytes: int | None,
    packed_bytes: int,
    named: NamedDocument | None,
    retention: Retention,
) -> str | None:
    """Unpack a document piece by piece, no further than to the size that its run recorded."""
    size = named.size_bytes if named else min(size_bytes or 0, retention.max_bytes)
    if size_bytes != size:
        return f"has the recorded size {size_bytes}, but its run names {size} bytes"
    if packed_bytes > _most_packed(size):
        return f"is stored in {packed_bytes} bytes, too many for its {size}"
    body: bytes | None = (
        await connection.execute(DOCUMENT, {"digest": digest})
    ).scalar_one_or_none()
    sha256, length = hashlib.sha256(), 0
    try:
        for piece in unpacked_pieces(body or b"", size):
            sha256.update(piece)
            length += len(piece)
    except UnpackingError as error:
        return f"cannot be unpacked: {error}"
    if length != size:
        return f"has {length} bytes, but its recorded size is {size}"
    if sha256.digest() != digest:
        return f"has the digest {sha256.hexdigest()}"
    return None if named else "is named by no run"


def _most_packed(size: int) -> int:
    """More than zlib makes of incompressible bytes."""
    return size + size // 1000 + 64


async def _check_missing(
    connection: AsyncConnection,
    report: VerificationReport,
    named: NamedDocuments,
    kept: Set[bytes],
    age: timedelta | None,
) -> None:
    now: int = (await connection.execute(MICROSECONDS_NOW)).scalar_one()
    erasing = await _organizations_with_erasures(connection, named)
    for digest, document in named.by_digest.items():
        if digest in kept:
            continue
        if age is not None and document.is_older_than(age, now):
            report.unchecked["documents that are older than the retention setting"] += 1
        elif document.organization_ids & erasing:
            report.unchecked["documents that are gone in an organization with erasures"] += 1
        else:
            what = (
                f"document {digest.hex()} is gone, and neither SPREAVIEW_SOURCE_RETENTION_DAYS "
                "nor an erasure explains it"
            )
            report.add(FindingKind.SOURCE, what, document.place)


async def _organizations_with_erasures(
    connection: AsyncConnection, named: NamedDocuments
) -> set[UUID]:
    """Return the organizations of erased speakers; erasing a requester deletes no document."""
    found = (await connection.execute(ERASED_SUBJECTS)).all()
    listed = {row.organization_id for row in found if row.subject not in named.erased_requesters}
    answered = set((await connection.execute(ANSWERED_ERASURES)).scalars())
    return listed | answered | named.erased_speakers.keys()
