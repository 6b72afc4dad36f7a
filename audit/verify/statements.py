"""The statements that several checks of a verification share. They only read."""

from collections.abc import Mapping

from sqlalchemy import TextClause, text

READ_ONLY = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

# PostgreSQL then prints definitions and times in one form under all settings of the role.
PLAIN_OUTPUT = (
    text("SELECT set_config('search_path', '', true)"),
    text("SELECT set_config('datestyle', 'ISO', true)"),
    text("SELECT set_config('quote_all_identifiers', 'off', true)"),
)

COUNT_EVENTS = text("""
    SELECT count(*) FROM event_store.events
    WHERE CAST(:only AS uuid) IS NULL OR stream_id = :only
""")

SOURCES = text("""
    SELECT digest, size_bytes, body FROM event_store.sources
    WHERE digest > :after ORDER BY digest LIMIT :limit
""")

VIEWS = (
    "sync_runs",
    "rooms",
    "event_speakers",
    "sessions",
    "session_speakers",
    "skipped_sessions",
    "stream_progress",
)
"""The public views that are compared row by row."""

VIEW_ROWS: Mapping[str, TextClause] = {
    view: text(f"""
        SELECT row_to_json(v)::text FROM spreaview.{view} v WHERE spreaview_event_id = :s
    """)  # noqa: S608 (of constants)
    for view in VIEWS
}

ROWS_WITHOUT_EVENTS: Mapping[str, TextClause] = {
    view: text(f"""
        SELECT spreaview_event_id, count(*) AS rows FROM spreaview.{view} v
        WHERE (CAST(:only AS uuid) IS NULL OR v.spreaview_event_id = :only)
          AND NOT EXISTS (SELECT FROM event_store.events e WHERE e.stream_id = v.spreaview_event_id)
        GROUP BY spreaview_event_id ORDER BY spreaview_event_id
    """)  # noqa: S608 (of constants)
    for view in VIEWS
}
