"""Verifying the identity of the log, and the seals that were kept elsewhere."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from eventstore.seals import Seal

LOG_IDS = text("SELECT log_id FROM event_store.log ORDER BY log_id")

SEALED_EVENT = text("""
    SELECT hash, position FROM event_store.events
    WHERE stream_id = :stream_id AND version = :version
""")

STREAM_LENGTHS = text("""
    SELECT stream_id, count(*) AS events, max(version) AS version FROM event_store.events
    WHERE CAST(:only AS uuid) IS NULL OR stream_id = :only
    GROUP BY stream_id
""")


async def check_log(connection: AsyncConnection, report: VerificationReport) -> UUID | None:
    """Check that the log has one identity, and return its id."""
    ids = list((await connection.execute(LOG_IDS)).scalars())
    if len(ids) != 1:
        what = f"event_store.log has {len(ids)} rows instead of one: the log has no identity"
        report.add(FindingKind.LOG, what)
        return None
    if ids[0] is None:
        report.add(FindingKind.LOG, "the log has no id")
    log_id: UUID | None = ids[0]
    return log_id


async def check_seals(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    seals: Iterable[Seal],
    log_id: UUID | None,
) -> None:
    """Check that the log has every sealed event, at its position and with its hash."""
    newest: dict[UUID, int] = {}
    foreign: set[UUID] = set()
    for seal in seals:
        if only not in (None, seal.stream_id):
            continue
        newest[seal.stream_id] = max(seal.version, newest.get(seal.stream_id, 0))
        report.checked["seals"] += 1
        if log_id is not None and seal.log_id != log_id:
            foreign.add(seal.log_id)
        found = await connection.execute(
            SEALED_EVENT, {"stream_id": seal.stream_id, "version": seal.version}
        )
        if (fault := _fault(seal, found.first())) is not None:
            place = Place(seal.stream_id, seal.version, seal.position)
            report.add(FindingKind.SEAL, f"it was sealed at {seal.sealed_at} {fault}", place)
    for other in sorted(foreign):
        what = f"the seals are of the log {other}, but this is the log {log_id}"
        report.add(FindingKind.LOG, what)
    if not newest:
        report.unchecked["whether a tail was cut or a chain rebuilt: no seals were given"] += 1
        return
    for row in await connection.execute(STREAM_LENGTHS, {"only": only}):
        if row.stream_id not in newest:
            report.unchecked["streams without a seal"] += 1
        elif (beyond := (row.version or 0) - newest[row.stream_id]) > 0:
            report.unchecked["events beyond the newest seal of their stream"] += beyond


def _fault(seal: Seal, event: Row[Any] | None) -> str | None:
    if event is None:
        return f"with the hash {seal.hash[:16]}…, but now is missing"
    hash_: bytes | None = event.hash
    if hash_ is None or hash_.hex() != seal.hash:
        now = "no hash" if hash_ is None else f"the hash {hash_.hex()[:16]}…"
        return f"with the hash {seal.hash[:16]}…, but now has {now}"
    if event.position != seal.position:
        return f"at position {seal.position}, but now is at {event.position}"
    return None
