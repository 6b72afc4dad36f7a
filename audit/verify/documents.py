"""Verifying the documents behind the runs against their digests."""

import hashlib
import zlib
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.report import FindingKind, VerificationReport

_PAGE = 20


async def check_documents(
    connection: AsyncConnection, report: VerificationReport, digests: set[bytes]
) -> None:
    """Check every stored document; `digests` are the digests that the runs name."""
    after, kept = b"", set[bytes]()
    while True:
        found = await connection.execute(statements.SOURCES, {"after": after, "limit": _PAGE})
        rows = found.all()
        for row in rows:
            if (fault := _fault_of(row, is_named=row.digest in digests)) is not None:
                report.add(FindingKind.SOURCE, f"document {row.digest.hex()}{fault}")
            report.checked["documents"] += 1
            kept.add(row.digest)
        if len(rows) < _PAGE:
            break
        after = rows[-1].digest
    if missing := len(digests - kept):
        report.unchecked["documents that are not kept (any more)"] += missing


def _fault_of(row: Any, *, is_named: bool) -> str | None:
    try:
        document = unpacked(row.body)
    except ValueError as error:
        return f" cannot be unpacked: {error}"
    if (found := hashlib.sha256(document).digest()) != row.digest:
        return f" has the digest {found.hex()}"
    if len(document) != row.size_bytes:
        return f" has {len(document)} bytes, but its recorded size is {row.size_bytes}"
    return None if is_named else ": no run names it"


def unpacked(body: bytes) -> bytes:
    """Decompress a document or a snapshot.

    Raises:
        ValueError: `body` is damaged, cut off, or followed by other bytes.
    """
    unpacking = zlib.decompressobj()
    try:
        document = unpacking.decompress(body)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError("it was cut off")
    if unpacking.unused_data:
        raise ValueError(f"{len(unpacking.unused_data)} bytes follow it")
    return document
