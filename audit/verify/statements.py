"""The statements of a verification. They only read."""

from sqlalchemy import text

READ_ONLY = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

# Page by page, in the order of the index on (stream_id, version).
STORED_EVENTS = text("""
    SELECT e.stream_id, e.version, e.position, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, e.recorded_at, e.hash,
           p.subject, p.salt, p.body::text
    FROM event_store.events e
    LEFT JOIN event_store.personal_data p USING (message_id)
    WHERE (e.stream_id, e.version) > (:stream_id, :version)
      AND (CAST(:only AS uuid) IS NULL OR e.stream_id = :only)
    ORDER BY e.stream_id, e.version
    LIMIT :limit
""")

HEADS = text("""
    SELECT coalesce(s.stream_id, e.stream_id) AS stream_id, s.version, e.last
    FROM event_store.streams s
    FULL JOIN (SELECT stream_id, max(version) AS last FROM event_store.events GROUP BY stream_id) e
      ON e.stream_id = s.stream_id
    WHERE s.version IS DISTINCT FROM e.last
      AND (CAST(:only AS uuid) IS NULL OR coalesce(s.stream_id, e.stream_id) = :only)
    ORDER BY 1
""")

PERSONAL_DATA_WITHOUT_EVENT = text("""
    SELECT p.message_id FROM event_store.personal_data p
    LEFT JOIN event_store.events e USING (message_id)
    WHERE e.message_id IS NULL ORDER BY 1
""")

SNAPSHOT = text("""
    SELECT version, fold_version, body FROM event_store.snapshots WHERE stream_id = :stream_id
""")

SNAPSHOTS_WITHOUT_EVENTS = text("""
    SELECT p.stream_id, p.version FROM event_store.snapshots p
    WHERE NOT EXISTS (SELECT FROM event_store.events e WHERE e.stream_id = p.stream_id)
    ORDER BY 1
""")

GENERATIONS_NOT_LIVE = text("SELECT count(*) FROM projections.generations WHERE NOT live")

APPEND_ONLY = text("""
    SELECT tgenabled::text FROM pg_trigger
    WHERE tgrelid = 'event_store.events'::regclass AND tgname = 'append_only'
""")

# `given` is null for a role that may not read the sequence, and before the first position.
POSITIONS = text("""
    SELECT (SELECT last_value FROM pg_sequences
            WHERE format('%I.%I', schemaname, sequencename)
                  = pg_get_serial_sequence('event_store.events', 'position')) AS given,
           (SELECT max(position) FROM event_store.events) AS newest
""")

SOURCES = text("""
    SELECT digest, size_bytes, body FROM event_store.sources
    WHERE digest > :after ORDER BY digest LIMIT :limit
""")

COUNT_EVENTS = text("""
    SELECT count(*) FROM event_store.events
    WHERE CAST(:only AS uuid) IS NULL OR stream_id = :only
""")

PROGRESS = text("""
    SELECT version FROM spreaview.stream_progress WHERE spreaview_event_id = :stream_id
""")

VIEW_ROWS = {
    "sync_runs": text("""
        SELECT row_to_json(v)::text FROM spreaview.sync_runs v WHERE spreaview_event_id = :s"""),
    "rooms": text("""
        SELECT row_to_json(v)::text FROM spreaview.rooms v WHERE spreaview_event_id = :s"""),
    "event_speakers": text("""
        SELECT row_to_json(v)::text FROM spreaview.event_speakers v
        WHERE spreaview_event_id = :s"""),
    "sessions": text("""
        SELECT row_to_json(v)::text FROM spreaview.sessions v WHERE spreaview_event_id = :s"""),
    "session_speakers": text("""
        SELECT row_to_json(v)::text FROM spreaview.session_speakers v
        WHERE spreaview_event_id = :s"""),
    "skipped_sessions": text("""
        SELECT row_to_json(v)::text FROM spreaview.skipped_sessions v
        WHERE spreaview_event_id = :s"""),
    "stream_progress": text("""
        SELECT row_to_json(v)::text FROM spreaview.stream_progress v
        WHERE spreaview_event_id = :s"""),
}

ROWS_WITHOUT_EVENTS = text("""
    SELECT r.view, r.spreaview_event_id, r.rows
    FROM (
        SELECT 'sync_runs' AS view, spreaview_event_id, count(*) AS rows
        FROM spreaview.sync_runs GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'rooms', spreaview_event_id, count(*)
        FROM spreaview.rooms GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'event_speakers', spreaview_event_id, count(*)
        FROM spreaview.event_speakers GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'sessions', spreaview_event_id, count(*)
        FROM spreaview.sessions GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'session_speakers', spreaview_event_id, count(*)
        FROM spreaview.session_speakers GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'skipped_sessions', spreaview_event_id, count(*)
        FROM spreaview.skipped_sessions GROUP BY spreaview_event_id
        UNION ALL
        SELECT 'stream_progress', spreaview_event_id, count(*)
        FROM spreaview.stream_progress GROUP BY spreaview_event_id
    ) r
    WHERE (CAST(:only AS uuid) IS NULL OR r.spreaview_event_id = :only)
      AND NOT EXISTS (SELECT FROM event_store.events e WHERE e.stream_id = r.spreaview_event_id)
    ORDER BY 2, 1
""")

SEALED_EVENT = text("""
    SELECT hash FROM event_store.events WHERE stream_id = :stream_id AND version = :version
""")
