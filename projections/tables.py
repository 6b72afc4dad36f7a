"""The tables of a generation and the columns of the public views."""

from collections.abc import Mapping
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

COLUMNS: Mapping[str, tuple[str, ...]] = {
    view: tuple(columns.split())
    for view, columns in {
        "sync_runs": """
            sync_id spreaview_event_id organization_id status requested_at requested_by started_at
            finished_at window_starts_on window_ends_on time_zone api_id_masked counts warnings
            withheld failure_code failure_message failure_remedy retryable position""",
        "rooms": "spreaview_event_id room_id sessionize_id name sort status position",
        "event_speakers": """
            spreaview_event_id organization_id speaker_id sessionize_id first_name last_name
            full_name tag_line bio profile_picture links is_top_speaker status position""",
        "sessions": """
            spreaview_event_id session_id session_code sessionize_id title abstract room_id
            starts_at ends_at is_service_session is_plenum_session live_url recording_url status
            position""",
        "session_speakers": "spreaview_event_id session_id speaker_id ordinal",
        "skipped_sessions": """
            spreaview_event_id sessionize_id title starts_at ends_at reason missing
            window_starts_at window_ends_at sync_id position""",
        "stream_progress": "spreaview_event_id version position",
    }.items()
}
"""The public columns of each view, in their order."""

TABLE_SIZES = text("""
    SELECT c.relname, pg_total_relation_size(c.oid) AS size
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname
""")

TABLE_COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname, a.attnum
""")


async def run_script(connection: AsyncConnection, script: str) -> None:
    """Run a script of `projections/sql`."""
    await run_sql(connection, files("projections").joinpath("sql", script).read_text("utf-8"))


async def run_sql(connection: AsyncConnection, statements: str) -> None:
    """Run several statements at once: only the driver accepts them."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await driver.execute(statements)
