"""The SQL statements that apply events to the rows of a generation.

Other statements are in the modules of the functions that run them. `generations` owns the table of
generations, `stopping` stops and resumes streams, `repair` clears them. Unqualified table names
resolve through `search_path` to one generation. `:rows` is a JSON array with one object
per row, whose keys are the columns; other keys are ignored.
"""

from collections.abc import Iterable

from sqlalchemy import text

from contracts.codec import PERSONAL_FIELDS

# The statements below take the personal columns from the one list of personal fields, which
# contracts.codec derives from the models of the events. A new field needs a column in tables.sql.
_OF_A_SPEAKER = PERSONAL_FIELDS["SpeakerImported"]
_OF_A_REQUESTER = PERSONAL_FIELDS["SyncStarted"]
_LINE = 92


def _assignments(assignments: Iterable[str]) -> str:
    """Lay out the assignments of SET in lines, as the rest of a statement is."""
    lines: list[str] = []
    for assignment in assignments:
        if lines and len(f"{lines[-1]}, {assignment},") <= _LINE:
            lines[-1] += f", {assignment}"
        else:
            lines.append(assignment)
    return ",\n        ".join(lines)


_REQUESTER = ", ".join(_OF_A_REQUESTER)
_CLEARED_SPEAKER = tuple(f"{column} = NULL" for column in _OF_A_SPEAKER)
_CLEARED_REQUESTER = tuple(f"{column} = NULL" for column in _OF_A_REQUESTER)
_REPLACED_SPEAKER = tuple(
    f"{column} = EXCLUDED.{column}"
    for column in (*_OF_A_SPEAKER, "is_top_speaker", "status", "position")
)

SHARE_GENERATION = text("SELECT pg_advisory_xact_lock_shared(:key)").bindparams(
    key=0x5350_5245_4156_0010
)

LIVE_SCHEMA = text("SELECT schema FROM projections.generations WHERE live")

ALL_SCHEMAS = text("SELECT schema FROM projections.generations ORDER BY number")

FORGET_SPEAKER = text(f"""
    UPDATE event_speakers SET
        {_assignments(_CLEARED_SPEAKER)}
    WHERE organization_id = :organization_id AND speaker_id = :speaker_id
""")  # noqa: S608 (of constants)

# A stream that had no personal data gets no SpeakerErased, so its row keeps its status.
MARK_FORGOTTEN = text("""
    UPDATE event_speakers SET status = 'erased'
    WHERE organization_id = :organization_id AND speaker_id = :speaker_id
      AND spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))
""")

# The result changes with every erasure.
ERASURES = text("SELECT count(*), max(erased_at) FROM event_store.erased_subjects")

FORGET_REQUESTER = text(f"""
    UPDATE sync_runs SET {", ".join(_CLEARED_REQUESTER)}
    WHERE organization_id = :organization_id AND requested_by = :requested_by
""")  # noqa: S608 (of constants)

SET_SEARCH_PATH = text("SELECT set_config('search_path', :schema, true)")

# Ordered by stream, so that two projectors cannot deadlock.
CREATE_PROGRESS = text("""
    INSERT INTO stream_progress (spreaview_event_id)
    SELECT id FROM unnest(CAST(:stream_ids AS uuid[])) AS wanted (id) ORDER BY id
    ON CONFLICT (spreaview_event_id) DO NOTHING
""")

# A stream is ahead if the log does not have its last applied event at that place. No event may be
# applied to it: its rows come from events that are not in the log.
IS_AHEAD = """
    p.version > 0 AND NOT EXISTS (
        SELECT FROM event_store.events e
        WHERE e.stream_id = p.spreaview_event_id AND e.version = p.version
          AND e.position = p.position)
"""

# `may_be_ahead` compares the locked row with the log as it was before the wait for the lock. So it
# is true for each stream that is ahead, and sometimes for one that is not.
LOCK_PROGRESS = text(f"""
    SELECT p.spreaview_event_id, p.version, ({IS_AHEAD}) AS may_be_ahead
    FROM stream_progress p
    WHERE p.spreaview_event_id = ANY(CAST(:stream_ids AS uuid[])) AND p.error IS NULL
    ORDER BY p.spreaview_event_id
    FOR UPDATE
""")  # noqa: S608 (of constants)

MOVE_PROGRESS = text("""
    UPDATE stream_progress p SET version = r.version, position = r.position
    FROM json_populate_recordset(NULL::stream_progress, CAST(:rows AS json)) r
    WHERE p.spreaview_event_id = r.spreaview_event_id
    RETURNING p.spreaview_event_id, p.version, p.position
""")

# Reads the log's own table of streams instead of the log's API: PostgreSQL can compare millions of
# streams and return only the lagging ones.
LAGGING_STREAMS = text("""
    SELECT s.stream_id
    FROM event_store.streams s
    LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
    WHERE p.error IS NULL AND coalesce(p.version, 0) < s.version
    LIMIT :limit
""")

PUT_STARTED_RUNS = text(f"""
    INSERT INTO sync_runs (
        sync_id, spreaview_event_id, organization_id, status, requested_at, {_REQUESTER},
        started_at, window_starts_on, window_ends_on, time_zone, api_id_masked, position)
    SELECT sync_id, spreaview_event_id, organization_id, status, requested_at, {_REQUESTER},
           started_at, window_starts_on, window_ends_on, time_zone, api_id_masked, position
    FROM json_populate_recordset(NULL::sync_runs, CAST(:rows AS json))
    ON CONFLICT (sync_id) DO NOTHING
""")  # noqa: S608 (of constants)

PUT_ENDED_RUNS = text("""
    INSERT INTO sync_runs AS run (
        sync_id, spreaview_event_id, organization_id, status, finished_at, counts, warnings,
        withheld, failure_code, failure_message, failure_remedy, retryable, position)
    SELECT sync_id, spreaview_event_id, organization_id, status, finished_at, counts, warnings,
           withheld, failure_code, failure_message, failure_remedy, retryable, position
    FROM json_populate_recordset(NULL::sync_runs, CAST(:rows AS json))
    ON CONFLICT (sync_id) DO UPDATE SET
        status = EXCLUDED.status, finished_at = EXCLUDED.finished_at, counts = EXCLUDED.counts,
        warnings = EXCLUDED.warnings, withheld = EXCLUDED.withheld,
        failure_code = EXCLUDED.failure_code, failure_message = EXCLUDED.failure_message,
        failure_remedy = EXCLUDED.failure_remedy, retryable = EXCLUDED.retryable,
        position = EXCLUDED.position
""")

PUT_ROOMS = text("""
    INSERT INTO rooms
    SELECT * FROM json_populate_recordset(NULL::rooms, CAST(:rows AS json))
    ON CONFLICT (spreaview_event_id, room_id) DO UPDATE SET
        name = EXCLUDED.name, sort = EXCLUDED.sort, status = EXCLUDED.status,
        position = EXCLUDED.position
""")

MARK_ROOMS = text("""
    UPDATE rooms t SET status = r.status, position = r.position
    FROM json_populate_recordset(NULL::rooms, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.room_id = r.room_id
""")

FORGET_SPEAKERS = text(f"""
    UPDATE event_speakers t SET
        {_assignments(_CLEARED_SPEAKER)}
    FROM json_populate_recordset(NULL::event_speakers, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.speaker_id = r.speaker_id
""")  # noqa: S608 (of constants)

PUT_SPEAKERS = text(f"""
    INSERT INTO event_speakers
    SELECT * FROM json_populate_recordset(NULL::event_speakers, CAST(:rows AS json))
    ON CONFLICT (spreaview_event_id, speaker_id) DO UPDATE SET
        {_assignments(_REPLACED_SPEAKER)}
""")  # noqa: S608 (of constants)

MARK_SPEAKERS = text("""
    UPDATE event_speakers t SET status = r.status, position = r.position
    FROM json_populate_recordset(NULL::event_speakers, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.speaker_id = r.speaker_id
""")

PUT_SESSIONS = text("""
    INSERT INTO sessions
    SELECT * FROM json_populate_recordset(NULL::sessions, CAST(:rows AS json))
    ON CONFLICT (spreaview_event_id, session_id) DO UPDATE SET
        title = EXCLUDED.title, abstract = EXCLUDED.abstract, room_id = EXCLUDED.room_id,
        starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at,
        is_service_session = EXCLUDED.is_service_session,
        is_plenum_session = EXCLUDED.is_plenum_session, live_url = EXCLUDED.live_url,
        recording_url = EXCLUDED.recording_url, status = EXCLUDED.status,
        position = EXCLUDED.position, topics = EXCLUDED.topics
""")

MARK_SESSIONS = text("""
    UPDATE sessions t SET status = r.status, position = r.position
    FROM json_populate_recordset(NULL::sessions, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.session_id = r.session_id
""")

CLEAR_SESSION_SPEAKERS = text("""
    DELETE FROM session_speakers t
    USING json_populate_recordset(NULL::session_speakers, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.session_id = r.session_id
""")

PUT_SESSION_SPEAKERS = text("""
    INSERT INTO session_speakers
    SELECT * FROM json_populate_recordset(NULL::session_speakers, CAST(:rows AS json))
""")

PUT_SKIPS = text("""
    INSERT INTO skipped_sessions
    SELECT * FROM json_populate_recordset(NULL::skipped_sessions, CAST(:rows AS json))
    ON CONFLICT (spreaview_event_id, sessionize_id) DO UPDATE SET
        title = EXCLUDED.title, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at,
        reason = EXCLUDED.reason, missing = EXCLUDED.missing,
        window_starts_at = EXCLUDED.window_starts_at, window_ends_at = EXCLUDED.window_ends_at,
        sync_id = EXCLUDED.sync_id, position = EXCLUDED.position
""")

REMOVE_SKIPS = text("""
    DELETE FROM skipped_sessions t
    USING json_populate_recordset(NULL::skipped_sessions, CAST(:rows AS json)) r
    WHERE t.spreaview_event_id = r.spreaview_event_id AND t.sessionize_id = r.sessionize_id
""")
