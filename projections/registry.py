"""The statements by which generations are made, listed, filled, switched and dropped.

As in `projections.statements`, unqualified tables are those of the generation that was entered.
"""

from sqlalchemy import text

PREPARE_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0011)

# Held by a session for as long as it rebuilds, rolls back or drops.
TRY_UPKEEP_LOCK = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=0x5350_5245_4156_0012)

# The other side of SHARE_GENERATION: waits until nobody is within a transaction that writes one.
TAKE_GENERATION = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=0x5350_5245_4156_0010)

CREATE_REGISTRY = (
    text("CREATE SCHEMA IF NOT EXISTS projections"),
    text("""
        CREATE TABLE IF NOT EXISTS projections.generations (
            number       integer PRIMARY KEY,
            schema       text NOT NULL UNIQUE,
            live         boolean NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            code_version text,                        -- of the projections that filled it
            position     bigint NOT NULL DEFAULT 0,   -- how far a rebuild has read the log
            filled_at    timestamptz,
            switched_at  timestamptz                  -- when it last became live
        )
    """),
    text("""
        CREATE UNIQUE INDEX IF NOT EXISTS generations_one_live
        ON projections.generations (live) WHERE live
    """),
    text("CREATE SCHEMA IF NOT EXISTS spreaview"),
)

NEXT_NUMBER = text("SELECT coalesce(max(number), 0) + 1 FROM projections.generations")

INSERT_GENERATION = text("""
    INSERT INTO projections.generations (
        number, schema, live, code_version, filled_at, switched_at)
    VALUES (:number, :schema, CAST(:live AS boolean), :code_version,
            CASE WHEN :live THEN clock_timestamp() END, CASE WHEN :live THEN clock_timestamp() END)
""")

GENERATIONS = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations ORDER BY number
""")

# Waits for the transaction of a rebuild that was killed a moment ago.
HOLD_GENERATION = text("""
    SELECT number, schema, live, code_version, created_at, position, filled_at, switched_at
    FROM projections.generations WHERE number = :number FOR UPDATE
""")

# Nothing is moved if somebody else has moved it: a rebuild that lost its lock stops here.
ADVANCE = text("""
    UPDATE projections.generations SET position = :position
    WHERE number = :number AND position = :before AND NOT live
""")

SET_POSITION = text("""
    UPDATE projections.generations SET position = :position WHERE number = :number AND NOT live
""")

SET_FILLED = text("""
    UPDATE projections.generations SET filled_at = clock_timestamp()
    WHERE number = :number AND filled_at IS NULL
""")

LEAVE_LIVE = text("UPDATE projections.generations SET live = false WHERE live")

BECOME_LIVE = text("""
    UPDATE projections.generations SET live = true, switched_at = clock_timestamp()
    WHERE number = :number
""")

FORGET_GENERATION = text("DELETE FROM projections.generations WHERE number = :number AND NOT live")

# Positions are kept as they were, so a session that dies loses its last pages and their position.
COMMIT_EARLY = text("SELECT set_config('synchronous_commit', 'off', true)")

LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :timeout, true)")

TABLES = text("""
    SELECT c.relname, pg_total_relation_size(c.oid) AS size
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname
""")

COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname, a.attnum
""")

PROGRESS_OF = text("""
    SELECT spreaview_event_id, version, error IS NOT NULL AS stopped FROM stream_progress
    WHERE spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))
""")

# What lies before it is applied, but for streams that have stopped.
APPLIED_UP_TO = text("""
    SELECT coalesce(
        (SELECT min(e.position) - 1
         FROM event_store.streams s
         LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
         JOIN event_store.events e
           ON e.stream_id = s.stream_id AND e.version = coalesce(p.version, 0) + 1
         WHERE p.error IS NULL AND coalesce(p.version, 0) < s.version),
        (SELECT max(position) FROM event_store.events), 0)
""")

STOPPED = text("""
    SELECT spreaview_event_id, version, error FROM stream_progress
    WHERE error IS NOT NULL ORDER BY spreaview_event_id
""")
