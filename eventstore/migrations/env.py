"""Alembic's entry: runs on the connection that `eventstore.migrate` hands in."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS event_store"))
context.configure(
    connection=connection, version_table="schema_version", version_table_schema="event_store"
)
context.run_migrations()
