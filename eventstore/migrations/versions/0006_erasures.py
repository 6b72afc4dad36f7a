"""The answers to erasure requests."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE event_store.erasures (
            request_id      uuid PRIMARY KEY,
            organization_id uuid NOT NULL,
            speaker_id      uuid,
            status          text NOT NULL CHECK (status IN ('done', 'refused')),
            streams         integer NOT NULL DEFAULT 0,
            erased_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
            reason          text
        )
    """)
    # One request erases a speaker in every spelling of the id in Sessionize.
    op.execute("""
        ALTER TABLE event_store.erased_subjects DROP CONSTRAINT erased_subjects_erasure_id_key
    """)
    op.execute("""
        CREATE INDEX erasures_organization ON event_store.erasures (organization_id, erased_at)
    """)
    op.execute("""
        COMMENT ON TABLE event_store.erasures IS
            'What came of each erasure request: one row, written with the erasure itself.'
    """)
