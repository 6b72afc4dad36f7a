"""An index of the runs, to find those without an outcome."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the index. It has one entry per run."""
    op.execute("""
        CREATE INDEX events_started ON event_store.events (position) WHERE type = 'SyncStarted'
    """)
