"""The log: events, streams, inbox, personal data, sources, checkpoints."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE event_store.log (
    only_one        boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    log_id          uuid NOT NULL DEFAULT gen_random_uuid(),
    fingerprint_key bytea NOT NULL DEFAULT sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    ),
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE event_store.log IS 'One row, made once with the log.';

CREATE TABLE event_store.streams (
    stream_id uuid PRIMARY KEY,
    version   bigint NOT NULL CHECK (version > 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE event_store.streams IS 'Heads of the streams; a stream is a SpreaView event.';

CREATE TABLE event_store.events (
    position       bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    stream_id      uuid NOT NULL,
    version        bigint NOT NULL,
    message_id     uuid NOT NULL UNIQUE,
    type           text NOT NULL,
    schema_version integer NOT NULL,
    data           jsonb NOT NULL,
    metadata       jsonb NOT NULL,
    recorded_at    timestamptz NOT NULL,
    hash           bytea NOT NULL CHECK (octet_length(hash) = 32),
    UNIQUE (stream_id, version)
);
COMMENT ON TABLE event_store.events IS
    'The facts. Position order = commit order = stream order. Never changed, never deleted.';

CREATE TABLE event_store.inbox (
    message_id  uuid PRIMARY KEY,
    stream_id   uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE event_store.inbox IS 'Requests whose outcome is in the log.';

CREATE TABLE event_store.personal_data (
    message_id uuid PRIMARY KEY,
    subject    uuid NOT NULL,
    salt       bytea NOT NULL,
    body       jsonb NOT NULL
);
CREATE INDEX personal_data_subject ON event_store.personal_data (subject);
COMMENT ON TABLE event_store.personal_data IS
    'Personal fields of events, kept apart so that a person can be forgotten.';

CREATE TABLE event_store.sources (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    size_bytes bigint NOT NULL,
    body       bytea NOT NULL,
    kept_at    timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE event_store.sources ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE event_store.sources IS
    'Documents behind the runs, zlib-compressed, once per SHA-256 of what was received.';

CREATE TABLE event_store.checkpoints (
    name       text PRIMARY KEY,
    log_id     uuid NOT NULL,
    position   bigint NOT NULL,
    message_id uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE event_store.checkpoints IS 'How far the readers of the log have come.';
"""

_REFUSE = """
CREATE FUNCTION event_store.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of event_store.events is refused: the log is append-only', TG_OP
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Record what is different now as a new event.';
END $$;
"""

_TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event_store.events
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_change();
"""

# Also for a session that sets session_replication_role = replica.
_ALWAYS = "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only"


def upgrade() -> None:
    """Create the tables and the row of this log."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(_REFUSE)
    op.execute(_TRIGGER)
    op.execute(_ALWAYS)
    op.execute("INSERT INTO event_store.log DEFAULT VALUES")
