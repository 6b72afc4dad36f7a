"""Folded states, so that a reader of a stream need not begin at its beginning."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE event_store.snapshots (
            stream_id    uuid PRIMARY KEY,
            version      bigint NOT NULL CHECK (version > 0),
            fold_version text NOT NULL,
            body         bytea NOT NULL
        )
    """)
    # It is compressed already.
    op.execute("ALTER TABLE event_store.snapshots ALTER COLUMN body SET STORAGE EXTERNAL")
    op.execute("""
        COMMENT ON TABLE event_store.snapshots IS
            'States that streams were folded to: caches, which may be deleted at any time.'
    """)
