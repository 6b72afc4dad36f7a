"""Verifying the identity of the log, and the seals that were kept elsewhere."""

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from contracts.wording import counted
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
    """Check that the log has every sealed event, at its position and with its hash.

    Seals of another log, such as the one before a restore, prove nothing about this log. They are
    findings about the identity of the log; a difference is an event that a restore may have lost.
    """
    newest: dict[UUID, int] = {}
    foreign = Counter[UUID]()
    for seal in seals:
        if only not in (None, seal.stream_id):
            continue
        found = await connection.execute(
            SEALED_EVENT, {"stream_id": seal.stream_id, "version": seal.version}
        )
        is_ours = log_id is None or seal.log_id == log_id
        if is_ours:
            newest[seal.stream_id] = max(seal.version, newest.get(seal.stream_id, 0))
            report.checked["seals"] += 1
        else:
            foreign[seal.log_id] += 1
        if (fault := _fault(seal, found.first())) is not None:
            place = Place(seal.stream_id, seal.version, seal.position)
            where = "" if is_ours else f" in the log {seal.log_id}"
            what = f"it was sealed{where} at {seal.sealed_at} {fault}"
            report.add(FindingKind.SEAL if is_ours else FindingKind.LOG, what, place)
    for other, number in sorted(foreign.items()):
        what = f"{counted(number, 'seal')} of the log {other} were given; this is the log {log_id}"
        report.add(FindingKind.LOG, what)
    if not newest:
        unsealed = "whether a tail was cut or a chain rebuilt: no seals of this log were given"
        report.unchecked[unsealed] += 1
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
