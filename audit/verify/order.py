"""Verifying the order of the whole log: rising positions have rising times, none in the future."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from contracts.wording import counted

FALLING_TIMES = text("""
    SELECT stream_id, version, position, type,
           to_json(recorded_at AT TIME ZONE 'UTC') #>> '{}' AS recorded_at, before
    FROM (SELECT *, lag(position) OVER log AS before, lag(recorded_at) OVER log AS time_before
          FROM event_store.events WHERE isfinite(recorded_at) WINDOW log AS (ORDER BY position)) e
    WHERE recorded_at < time_before
    ORDER BY position
""")

# A minute more than now: a replica's clock may differ from the clock of the primary.
FUTURE_TIMES = text("""
    WITH soon AS (SELECT clock_timestamp() + interval '1 minute' AS time)
    SELECT what, place, to_json(time AT TIME ZONE 'UTC') #>> '{}' AS time FROM (
        SELECT 'recorded_at of an event' AS what, 'position ' || position AS place,
               recorded_at AS time
        FROM event_store.events WHERE recorded_at > (SELECT time FROM soon)
        UNION ALL
        SELECT 'recorded_at in the inbox', 'request ' || message_id, recorded_at
        FROM event_store.inbox WHERE recorded_at > (SELECT time FROM soon)
        UNION ALL
        SELECT 'kept_at of a document', 'document ' || encode(digest, 'hex'), kept_at
        FROM event_store.sources WHERE kept_at > (SELECT time FROM soon)
        UNION ALL
        SELECT 'erased_at of an erasure', 'erasure ' || erasure_id, erased_at
        FROM event_store.erased_subjects WHERE erased_at > (SELECT time FROM soon)
        UNION ALL
        SELECT 'updated_at of a checkpoint', 'checkpoint ' || name, updated_at
        FROM event_store.checkpoints WHERE updated_at > (SELECT time FROM soon)
        UNION ALL
        SELECT 'since of an unpublished event', 'position ' || position, since
        FROM event_store.unpublished WHERE since > (SELECT time FROM soon)
    ) f
    ORDER BY what, place
""")

EVENTS_IN_NO_PLACE = text("""
    SELECT stream_id, version, position, type FROM event_store.events
    WHERE stream_id IS NULL OR version IS NULL OR position IS NULL
    ORDER BY position, stream_id, version
""")


async def check_order(connection: AsyncConnection, report: VerificationReport) -> None:
    """Check that times rise with positions. Infinite times are reported with their events."""
    for row in await connection.execute(FALLING_TIMES):
        what = (
            f"it was recorded at {row.recorded_at}Z, before the event at position {row.before}: "
            "events have swapped their positions, or the clock of the database was set back"
        )
        place = Place(row.stream_id, row.version, row.position, row.type)
        report.add(FindingKind.DISORDERED, what, place)
    for row in await connection.execute(FUTURE_TIMES):
        what = f"{row.place}: the {row.what} is {row.time}Z, in the future"
        report.add(FindingKind.DISORDERED, what)


async def check_reachable(
    connection: AsyncConnection, report: VerificationReport, in_table: int
) -> None:
    """Report events that reading by stream and version does not reach.

    `in_table` is the number of events in the table.
    """
    found = (await connection.execute(EVENTS_IN_NO_PLACE)).all()
    for row in found:
        what = "it has no stream, no version or no position, so no reader finds it"
        place = Place(row.stream_id, row.version, row.position, row.type)
        report.add(FindingKind.UNREADABLE, what, place)
    if (lost := in_table - len(found) - report.checked["events"]) > 0:
        events = counted(lost, "event")
        what = f"{events} with the same stream, version and position as another event"
        report.add(FindingKind.MISSING, what)
