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

# The row may be new: the transaction that made it was rolled back with what could not be applied.
STOP_STREAM = text("""
    INSERT INTO stream_progress (spreaview_event_id, error, stopped_at, code_version)
    VALUES (:stream_id, :error, clock_timestamp(), :code_version)
    ON CONFLICT (spreaview_event_id) DO UPDATE
    SET error = EXCLUDED.error, stopped_at = EXCLUDED.stopped_at,
        code_version = EXCLUDED.code_version
    RETURNING version
""")

# Stopped by other code than ours, which may be able to go on.
STOPPED_BY_OTHERS = text("""
    SELECT spreaview_event_id, version FROM stream_progress
    WHERE error IS NOT NULL AND code_version IS DISTINCT FROM :code_version
    ORDER BY spreaview_event_id
    LIMIT :limit
""")

# But for those that are ahead of the log: nothing can be applied to what it does not have.
GO_ON = text("""
    UPDATE stream_progress p SET error = NULL, stopped_at = NULL, code_version = NULL
    WHERE p.spreaview_event_id = ANY(CAST(:stream_ids AS uuid[])) AND p.error IS NOT NULL
      AND (p.version = 0 OR EXISTS (
          SELECT FROM event_store.events e
          WHERE e.stream_id = p.spreaview_event_id AND e.version = p.version
            AND e.position = p.position))
""")

STOPPED_STREAMS = text("""
    SELECT p.spreaview_event_id, p.version, p.error, p.stopped_at, p.code_version,
           e.position, e.type
    FROM stream_progress p
    LEFT JOIN event_store.events e
      ON e.stream_id = p.spreaview_event_id AND e.version = p.version + 1
    WHERE p.error IS NOT NULL
    ORDER BY p.stopped_at
""")

AHEAD_STREAMS = text("""
    SELECT p.spreaview_event_id, p.version, coalesce(s.version, 0) AS log_version
    FROM stream_progress p
    LEFT JOIN event_store.streams s ON s.stream_id = p.spreaview_event_id
    LEFT JOIN event_store.events e
      ON e.stream_id = p.spreaview_event_id AND e.version = p.version
    WHERE p.version > 0 AND e.position IS DISTINCT FROM p.position
    ORDER BY p.spreaview_event_id
""")

TOTALS = text("""
    SELECT (SELECT count(*) FROM event_store.streams) AS streams,
           (SELECT coalesce(max(position), 0) FROM event_store.events) AS head,
           (SELECT coalesce(sum(greatest(s.version - coalesce(p.version, 0), 0)), 0)::bigint
            FROM event_store.streams s
            LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id) AS behind
""")

HOLD_PROGRESS = text("""
    SELECT FROM stream_progress WHERE spreaview_event_id = :stream_id FOR UPDATE
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
    SET version = 0, position = 0, error = NULL, stopped_at = NULL, code_version = NULL
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
