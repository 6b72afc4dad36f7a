"""The statements by which projections are watched, stopped, let go on and repaired.

As in `projections.statements`, unqualified tables are those of the generation that was entered.
"""

from sqlalchemy import text

OLDEST_LAG = text("""
    SELECT count(*) OVER () AS streams, s.stream_id, coalesce(p.version, 0) AS version,
           clock_timestamp() - e.recorded_at AS age
    FROM event_store.streams s
    LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
    JOIN event_store.events e
      ON e.stream_id = s.stream_id AND e.version = coalesce(p.version, 0) + 1
    WHERE p.error IS NULL AND coalesce(p.version, 0) < s.version
    ORDER BY e.position
    LIMIT 1
""")

# The row is there and locked.
STOP_STREAM = text("""
    UPDATE stream_progress
    SET error = :error, stopped_at = clock_timestamp(), code_version = :code_version,
        stopped_by = :stopped_by
    WHERE spreaview_event_id = :stream_id
""")

# A stream is ahead if its last applied event is not the one that the log has there. Nothing can be
# applied then: it would be applied to rows that the log knows nothing of.
_IS_AHEAD = """
    p.version > 0 AND NOT EXISTS (
        SELECT FROM event_store.events e
        WHERE e.stream_id = p.spreaview_event_id AND e.version = p.version
          AND e.position = p.position)
"""

_AHEAD = f"""
    SELECT p.spreaview_event_id, p.version, coalesce(s.version, 0) AS log_version,
           p.error IS NOT NULL AS stopped
    FROM stream_progress p
    LEFT JOIN event_store.streams s ON s.stream_id = p.spreaview_event_id
    WHERE {_IS_AHEAD}
"""  # noqa: S608 (of constants)

AHEAD_STREAMS = text(f"{_AHEAD} ORDER BY p.spreaview_event_id")

AHEAD_AMONG = text(f"{_AHEAD} AND p.spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))")

# Stopped by other code than ours, which may be able to go on.
STOPPED_BY_OTHERS = text(f"""
    SELECT p.spreaview_event_id, p.version FROM stream_progress p
    WHERE p.error IS NOT NULL AND p.code_version IS DISTINCT FROM :code_version
      AND NOT ({_IS_AHEAD})
    ORDER BY p.spreaview_event_id
""")  # noqa: S608 (of constants)

GO_ON = text(f"""
    UPDATE stream_progress p
    SET error = NULL, stopped_at = NULL, code_version = NULL, stopped_by = NULL
    WHERE p.spreaview_event_id = :stream_id AND p.error IS NOT NULL AND NOT ({_IS_AHEAD})
""")  # noqa: S608 (of constants)

STOPPED_STREAMS = text("""
    SELECT p.spreaview_event_id, p.version, p.error, p.stopped_at, p.code_version,
           e.position, e.type, greatest(coalesce(s.version, 0) - p.version, 0) AS behind
    FROM stream_progress p
    LEFT JOIN event_store.streams s ON s.stream_id = p.spreaview_event_id
    LEFT JOIN event_store.events e ON e.position = p.stopped_by
    WHERE p.error IS NOT NULL
    ORDER BY p.stopped_at
""")

TOTALS = text("""
    SELECT (SELECT count(*) FROM event_store.streams) AS streams,
           (SELECT coalesce(max(position), 0) FROM event_store.events) AS head,
           (SELECT coalesce(sum(greatest(s.version - coalesce(p.version, 0), 0)), 0)::bigint
            FROM event_store.streams s
            LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
            WHERE p.error IS NULL) AS behind
""")

HOLD_PROGRESS = text("""
    SELECT version FROM stream_progress WHERE spreaview_event_id = :stream_id FOR UPDATE
""")

CLEAR_STREAM = text("""
    WITH runs AS (DELETE FROM sync_runs WHERE spreaview_event_id = :stream_id),
         rooms AS (DELETE FROM rooms WHERE spreaview_event_id = :stream_id),
         speakers AS (DELETE FROM event_speakers WHERE spreaview_event_id = :stream_id),
         sessions AS (DELETE FROM sessions WHERE spreaview_event_id = :stream_id),
         links AS (DELETE FROM session_speakers WHERE spreaview_event_id = :stream_id)
    DELETE FROM skipped_sessions WHERE spreaview_event_id = :stream_id
""")

COUNT_ROWS = text("""
    SELECT (SELECT count(*) FROM sync_runs WHERE spreaview_event_id = :stream_id) AS sync_runs,
           (SELECT count(*) FROM rooms WHERE spreaview_event_id = :stream_id) AS rooms,
           (SELECT count(*) FROM event_speakers WHERE spreaview_event_id = :stream_id)
               AS event_speakers,
           (SELECT count(*) FROM sessions WHERE spreaview_event_id = :stream_id) AS sessions,
           (SELECT count(*) FROM session_speakers WHERE spreaview_event_id = :stream_id)
               AS session_speakers,
           (SELECT count(*) FROM skipped_sessions WHERE spreaview_event_id = :stream_id)
               AS skipped_sessions
""")

BEGIN_ANEW = text("""
    UPDATE stream_progress
    SET version = 0, position = 0, error = NULL, stopped_at = NULL, code_version = NULL,
        stopped_by = NULL
    WHERE spreaview_event_id = :stream_id
""")

FORGET_UNKNOWN = text("""
    WITH gone AS (
        DELETE FROM stream_progress p
        WHERE p.spreaview_event_id = :stream_id AND p.version = 0
          AND NOT EXISTS (SELECT FROM event_store.streams s WHERE s.stream_id = :stream_id)
    )
    SELECT version FROM stream_progress WHERE spreaview_event_id = :stream_id
""")
