"""The databases in which an operator has confirmed the log, so that a restored one is noticed."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table, and confirm the present database."""
    op.execute("""
        CREATE TABLE event_store.confirmed_places (
            log_id            uuid NOT NULL,
            system_identifier bigint NOT NULL,
            database_oid      bigint NOT NULL,
            table_oid         bigint NOT NULL,
            confirmed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (log_id, system_identifier, database_oid, table_oid)
        )
    """)
    op.execute("""
        COMMENT ON TABLE event_store.confirmed_places IS
            'Databases whose log is known to have every erasure. A restored log is in another one.'
    """)
    op.execute("""
        INSERT INTO event_store.confirmed_places (
            log_id, system_identifier, database_oid, table_oid)
        SELECT l.log_id, c.system_identifier, d.oid, CAST('event_store.log' AS regclass)::oid
        FROM event_store.log l, pg_control_system() c, pg_database d
        WHERE d.datname = current_database()
    """)
