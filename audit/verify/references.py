"""Verifying the references to events: stream heads, the relay's checkpoint, seals, orphans."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.report import FindingKind, VerificationReport
from eventstore.checkpoints import READ_CHECKPOINT
from eventstore.read import EVENT_AT
from eventstore.seals import Seal
from worker.relay.checkpoint import BEGINNING, CHECKPOINT


async def check_heads(
    connection: AsyncConnection, report: VerificationReport, only: UUID | None
) -> None:
    """Check that each stream's recorded version is the version of its last event."""
    for row in await connection.execute(statements.HEADS, {"only": only}):
        what = f"its head is version {row.version}, its last event is version {row.last}"
        report.add(FindingKind.HEAD, what, stream_id=row.stream_id, version=row.last)


async def check_orphans(connection: AsyncConnection, report: VerificationReport) -> None:
    """Find snapshots and personal data without an event; count generations left unchecked."""
    for row in await connection.execute(statements.SNAPSHOTS_WITHOUT_EVENTS):
        what = "it has a snapshot, but the log has no event of it"
        report.add(FindingKind.SNAPSHOT, what, stream_id=row.stream_id, version=row.version)
    not_live = (await connection.execute(statements.GENERATIONS_NOT_LIVE)).scalar_one()
    if not_live:
        report.unchecked["rows of generations that are not live: nobody reads them"] += not_live
    for row in await connection.execute(statements.PERSONAL_DATA_WITHOUT_EVENT):
        what = f"personal data of event {row.message_id}, which the log does not have"
        report.add(FindingKind.PERSONAL_DATA, what)


async def check_checkpoint(connection: AsyncConnection, report: VerificationReport) -> None:
    """Check that the log has the event that the relay's checkpoint names."""
    found = await connection.execute(READ_CHECKPOINT, {"name": CHECKPOINT})
    row = found.one_or_none()
    if row is None or (row.position, row.message_id) == (0, BEGINNING):
        report.unchecked["the relay's checkpoint: there is none"] += 1
        return
    found = await connection.execute(EVENT_AT, {"position": row.position})
    report.checked["checkpoints"] += 1
    if found.scalar_one_or_none() != row.message_id:
        what = f"the relay's checkpoint names event {row.message_id}, which is not there"
        report.add(FindingKind.CHECKPOINT, what, position=row.position)


async def check_seals(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    seals: Iterable[Seal],
) -> None:
    """Check that the log has every sealed event, with the sealed hash."""
    count = 0
    for seal in seals:
        if only not in (None, seal.stream_id):
            continue
        count += 1
        found = await connection.execute(
            statements.SEALED_EVENT, {"stream_id": seal.stream_id, "version": seal.version}
        )
        hash_: bytes | None = found.scalar_one_or_none()
        if hash_ is None or hash_.hex() != seal.hash:
            now = "is missing" if hash_ is None else f"has the hash {hash_.hex()[:16]}…"
            report.add(
                FindingKind.SEAL,
                f"it was sealed at {seal.sealed_at} with the hash {seal.hash[:16]}…, but now {now}",
                stream_id=seal.stream_id,
                version=seal.version,
                position=seal.position,
            )
    report.checked["seals"] += count
    if not count:
        report.unchecked["whether a tail was cut or a chain made anew: no seals were given"] += 1
