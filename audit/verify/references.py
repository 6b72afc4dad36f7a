"""Verifying the other tables of the log: heads, inbox, checkpoint, unpublished, orphans."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from contracts.events import TERMINAL_TYPES
from eventstore.checkpoints import READ_CHECKPOINT
from eventstore.read import EVENT_AT
from worker.relay.checkpoint import BEGINNING, CHECKPOINT

HEADS = text("""
    SELECT coalesce(s.stream_id, e.stream_id) AS stream_id, s.version, e.last
    FROM event_store.streams s
    FULL JOIN (SELECT stream_id, max(version) AS last FROM event_store.events GROUP BY stream_id) e
      ON e.stream_id = s.stream_id
    WHERE s.version IS DISTINCT FROM e.last
      AND (CAST(:only AS uuid) IS NULL OR coalesce(s.stream_id, e.stream_id) = :only)
    ORDER BY 1
""")

# As text: the id in the data of a manipulated event may be anything.
INBOX_AND_OUTCOMES = text("""
    SELECT coalesce(i.message_id::text, e.sync_id) AS sync_id, i.stream_id AS entered,
           e.stream_id, e.version, e.position, e.type, i.message_id IS NULL AS is_missing,
           coalesce(e.recorded_at < now() - CAST(:age AS interval), false) AS is_old
    FROM event_store.inbox i
    FULL JOIN (
        SELECT data->>'sync_id' AS sync_id, stream_id, version, position, type, recorded_at
        FROM event_store.events WHERE type = ANY(:types)
    ) e ON e.sync_id = i.message_id::text
    WHERE i.message_id IS NULL OR e.position IS NULL OR i.stream_id IS DISTINCT FROM e.stream_id
    ORDER BY 1, position
""")

DOUBLES = text("""
    SELECT 'events' AS table, message_id, count(*) AS rows FROM event_store.events
    GROUP BY message_id HAVING count(*) > 1
    UNION ALL
    SELECT 'inbox', message_id, count(*) FROM event_store.inbox
    GROUP BY message_id HAVING count(*) > 1
    UNION ALL
    SELECT 'personal_data', message_id, count(*) FROM event_store.personal_data
    GROUP BY message_id HAVING count(*) > 1
    UNION ALL
    SELECT 'streams', stream_id, count(*) FROM event_store.streams
    GROUP BY stream_id HAVING count(*) > 1
    UNION ALL
    SELECT 'snapshots', stream_id, count(*) FROM event_store.snapshots
    GROUP BY stream_id HAVING count(*) > 1
    UNION ALL
    SELECT 'erased_subjects', subject, count(*) FROM event_store.erased_subjects
    GROUP BY subject HAVING count(*) > 1
    ORDER BY 1, 2
""")

PERSONAL_DATA_WITHOUT_EVENT = text("""
    SELECT p.message_id FROM event_store.personal_data p
    LEFT JOIN event_store.events e USING (message_id)
    WHERE e.message_id IS NULL ORDER BY 1
""")

SNAPSHOTS_WITHOUT_EVENTS = text("""
    SELECT p.stream_id, p.version FROM event_store.snapshots p
    WHERE NOT EXISTS (SELECT FROM event_store.events e WHERE e.stream_id = p.stream_id)
    ORDER BY 1
""")

UNPUBLISHED_WITHOUT_EVENT = text("""
    SELECT u.position, u.message_id FROM event_store.unpublished u
    LEFT JOIN event_store.events e USING (position, message_id)
    WHERE e.message_id IS NULL ORDER BY 1
""")


async def check_heads(
    connection: AsyncConnection, report: VerificationReport, only: UUID | None
) -> None:
    """Check that each stream's recorded version is the version of its last event."""
    for row in await connection.execute(HEADS, {"only": only}):
        what = f"its head is version {row.version}, its last event is version {row.last}"
        report.add(FindingKind.HEAD, what, Place(row.stream_id, row.last))


async def check_inbox(
    connection: AsyncConnection, report: VerificationReport, age: timedelta | None = None
) -> None:
    """Check that the inbox has the requests whose outcomes are in the log, and no others.

    Entries older than `age` may be missing: the retention setting explains that.
    """
    of = {"types": sorted(TERMINAL_TYPES), "age": age}
    for row in await connection.execute(INBOX_AND_OUTCOMES, of):
        if row.is_missing and row.is_old:
            report.unchecked["entries of the inbox that are older than the retention setting"] += 1
            continue
        if row.position is None:
            what = f"request {row.sync_id} is in the inbox, but the log has no outcome of it"
        elif row.is_missing:
            what = f"the outcome of request {row.sync_id} has no entry in the inbox"
        else:
            what = f"the inbox names another SpreaView event for request {row.sync_id}"
        place = Place(row.stream_id or row.entered, row.version, row.position, row.type)
        report.add(FindingKind.INBOX, what, place)
    for row in await connection.execute(DOUBLES):
        what = f"event_store.{row.table} has {row.rows} rows with the id {row.message_id}"
        report.add(FindingKind.MISSING, what)


async def check_orphans(connection: AsyncConnection, report: VerificationReport) -> None:
    """Find snapshots, personal data and unpublished events without their event."""
    for row in await connection.execute(SNAPSHOTS_WITHOUT_EVENTS):
        what = "it has a snapshot, but the log has no event of it"
        report.add(FindingKind.SNAPSHOT, what, Place(row.stream_id, row.version))
    for row in await connection.execute(PERSONAL_DATA_WITHOUT_EVENT):
        what = f"personal data of event {row.message_id}, which the log does not have"
        report.add(FindingKind.PERSONAL_DATA, what)
    for row in await connection.execute(UNPUBLISHED_WITHOUT_EVENT):
        what = (
            f"event_store.unpublished names event {row.message_id}, which is not at that position"
        )
        report.add(FindingKind.CHECKPOINT, what, Place(position=row.position))


async def check_checkpoint(
    connection: AsyncConnection, report: VerificationReport, log_id: UUID | None
) -> None:
    """Check that the relay's checkpoint is of this log, and that the log has its event."""
    found = await connection.execute(READ_CHECKPOINT, {"name": CHECKPOINT})
    row = found.one_or_none()
    if row is None:
        report.unchecked["the relay's checkpoint: there is none"] += 1
        return
    report.checked["checkpoints"] += 1
    place = Place(position=row.position)
    if log_id is not None and row.log_id != log_id:
        what = f"the relay's checkpoint is of the log {row.log_id}, but this is the log {log_id}"
        report.add(FindingKind.LOG, what, place)
    if (row.position, row.message_id) == (0, BEGINNING):
        return
    found = await connection.execute(EVENT_AT, {"position": row.position})
    if found.scalars().first() != row.message_id:
        what = f"the relay's checkpoint names event {row.message_id}, which is not there"
        report.add(FindingKind.CHECKPOINT, what, place)
