"""What the relay could not publish."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE event_store.unpublished (
            position   bigint PRIMARY KEY,
            message_id uuid NOT NULL,
            reason     text NOT NULL,
            since      timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE event_store.unpublished IS
            'Events that the broker refused, for their size: they are in the log, not on Kafka.'
    """)
