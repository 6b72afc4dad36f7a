"""People who asked to be forgotten."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE event_store.erased_subjects (
            subject         uuid PRIMARY KEY,
            organization_id uuid NOT NULL,
            erasure_id      uuid NOT NULL UNIQUE,
            erased_at       timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE INDEX erased_subjects_organization
        ON event_store.erased_subjects (organization_id)
    """)
    op.execute("""
        COMMENT ON TABLE event_store.erased_subjects IS
            'Whose personal data must not come back, until the erasure is lifted.'
    """)
