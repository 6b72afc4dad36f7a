"""Every SQL statement of the log, whole and named."""

from sqlalchemy import text

LOG_LOCK = 0x5350_5245_4156_0001
"""The lock under which positions are given: commit order = position order = stream order."""

IDENTITY = text("SELECT log_id, fingerprint_key FROM event_store.log")

CLOCK_AND_RUN = text("""
    SELECT clock_timestamp() AS now,
           (SELECT stream_id FROM event_store.events WHERE message_id = :started_id) AS begun_in,
           (SELECT stream_id FROM event_store.events WHERE message_id = :outcome_id) AS ended_in
""")

INSERT_INBOX = text("""
    INSERT INTO event_store.inbox (message_id, stream_id) VALUES (:message_id, :stream_id)
    ON CONFLICT (message_id) DO NOTHING
""")

CREATE_STREAM = text("""
    INSERT INTO event_store.streams (stream_id, version) VALUES (:stream_id, :new_version)
    ON CONFLICT (stream_id) DO NOTHING
""")

# The row stays locked until the commit, so the head that the sub-select finds is the head.
MOVE_STREAM = text("""
    UPDATE event_store.streams SET version = :new_version
    WHERE stream_id = :stream_id AND version = :expected_version
    RETURNING (SELECT e.hash FROM event_store.events e
               WHERE e.stream_id = :stream_id AND e.version = :expected_version) AS head
""")

INSERT_PERSONAL_DATA = text("""
    INSERT INTO event_store.personal_data (message_id, subject, salt, body)
    SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:subjects AS uuid[]),
                         CAST(:salts AS bytea[]), CAST(:bodies AS jsonb[]))
""")

INSERT_SOURCE = text("""
    INSERT INTO event_store.sources (digest, size_bytes, body)
    VALUES (:digest, :size_bytes, :body)
    ON CONFLICT (digest) DO UPDATE SET kept_at = now()
""")

PUT_SNAPSHOT = text("""
    INSERT INTO event_store.snapshots (stream_id, version, fold_version, body)
    VALUES (:stream_id, :version, :fold_version, :body)
    ON CONFLICT (stream_id) DO UPDATE SET
        version = EXCLUDED.version, fold_version = EXCLUDED.fold_version, body = EXCLUDED.body
""")

# One beyond its stream's head is none of this stream.
READ_SNAPSHOT = text("""
    SELECT p.version, p.fold_version, p.body
    FROM event_store.snapshots p
    JOIN event_store.streams s ON s.stream_id = p.stream_id AND s.version >= p.version
    WHERE p.stream_id = :stream_id AND p.fold_version = :fold_version
""")

PRUNE_SOURCES = text("""
    DELETE FROM event_store.sources WHERE kept_at < now() - CAST(:age AS interval)
""")

# The clock is read after the lock is held: the CTE is evaluated before the outer target list.
LOCK_LOG = text("""
    WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(:key))
    SELECT clock_timestamp() AS now FROM locked
""").bindparams(key=LOG_LOCK)

# What the sub-select sees of the log is what was there before.
INSERT_EVENTS = text("""
    WITH inserted AS (
        INSERT INTO event_store.events
            (stream_id, version, message_id, type, schema_version, data, metadata,
             recorded_at, hash)
        SELECT :stream_id, e.version, e.message_id, e.type, e.schema_version, e.data,
               CAST(:metadata AS jsonb), :recorded_at, e.hash
        FROM unnest(CAST(:versions AS bigint[]), CAST(:message_ids AS uuid[]),
                    CAST(:types AS text[]), CAST(:schema_versions AS integer[]),
                    CAST(:data AS jsonb[]), CAST(:hashes AS bytea[]))
             AS e (version, message_id, type, schema_version, data, hash)
        WHERE NOT EXISTS (SELECT FROM event_store.erased_subjects
                          WHERE subject = ANY(CAST(:subjects AS uuid[]))
                             OR organization_id = :organization_id
                                AND subject <> ALL(CAST(:known_subjects AS uuid[])))
        ORDER BY e.version
        RETURNING position
    )
    SELECT max(position) AS position,
           min(position) > (SELECT coalesce(max(position), 0) FROM event_store.events) AS is_beyond,
           pg_notify('event_store', max(position)::text)
    FROM inserted
""")

# Personal fields are looked up event by event: a join may read all that the log has of them.
_EVENT = """
           e.position, e.stream_id, e.version, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, e.recorded_at, e.hash,
           (SELECT p.body::text FROM event_store.personal_data p
            WHERE p.message_id = e.message_id) AS personal
"""

# The first event always, the others while the whole (as stored, compressed) is not too much.
READ_ALL = text(f"""
    SELECT {_EVENT}
    FROM (
        SELECT *, sum(pg_column_size(data)) OVER (ORDER BY position) - pg_column_size(data)
                  AS before
        FROM event_store.events
        WHERE position > :after
        ORDER BY position
        LIMIT :limit
    ) e
    WHERE e.before < :bytes
    ORDER BY e.position
""")  # noqa: S608 (of constants)

READ_STREAM = text(f"""
    SELECT {_EVENT}
    FROM event_store.events e
    WHERE e.stream_id = :stream_id AND e.version > :after
    ORDER BY e.version
    LIMIT :limit
""")  # noqa: S608 (of constants)

READ_EVENT = text(f"""
    SELECT {_EVENT}
    FROM event_store.events e
    WHERE e.message_id = :message_id
""")  # noqa: S608 (of constants)

# Only as many streams as fill the limit, each by its own index: whatever the planner believes of a
# young table, what is looked at does not grow with the log, nor with what else waits.
READ_STREAMS = text(f"""
    SELECT {_EVENT}
    FROM (
        SELECT w.stream_id, w.version, sum(s.version - w.version) OVER (ORDER BY w.stream_id)
                                       - (s.version - w.version) AS before
        FROM unnest(CAST(:stream_ids AS uuid[]), CAST(:versions AS bigint[]))
             AS w (stream_id, version)
        JOIN event_store.streams s ON s.stream_id = w.stream_id AND s.version > w.version
    ) wanted
    CROSS JOIN LATERAL (
        SELECT * FROM event_store.events
        WHERE stream_id = wanted.stream_id AND version > wanted.version
        ORDER BY version
        LIMIT :limit
    ) e
    WHERE wanted.before < :limit
    ORDER BY e.position
    LIMIT :limit
""")  # noqa: S608 (of constants)

ERASED_SPEAKERS = text("""
    SELECT subject FROM event_store.erased_subjects WHERE organization_id = :organization_id
""")

STREAM_VERSION = text("SELECT version FROM event_store.streams WHERE stream_id = :stream_id")

EVENT_AT = text("SELECT message_id FROM event_store.events WHERE position = :position")

LAST_EVENT = text("""
    SELECT position, message_id FROM event_store.events
    WHERE position <= :position ORDER BY position DESC LIMIT 1
""")

HEAD = text("SELECT coalesce(max(position), 0) FROM event_store.events")

READ_SOURCE = text("SELECT body FROM event_store.sources WHERE digest = :digest")

READ_CHECKPOINT = text("""
    SELECT log_id, position, message_id FROM event_store.checkpoints WHERE name = :name
""")

BEHIND = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM event_store.events
                                  WHERE position > :after LIMIT :most) AS beyond) AS events,
           (SELECT clock_timestamp() - recorded_at FROM event_store.events
            WHERE position > :after ORDER BY position LIMIT 1) AS age
""")

UNPUBLISHED = text("""
    SELECT position, message_id, reason, since FROM event_store.unpublished ORDER BY position
""")

DELETE_CHECKPOINT = text("DELETE FROM event_store.checkpoints WHERE name = :name")
