"""Retention of the inbox: entries of requests whose outcome is in the log.

An entry and its outcome are written in one transaction, and the outcome alone ends a request that
comes again. So old entries may go.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

COUNT_OLD_ENTRIES = text("""
    SELECT count(*) FROM event_store.inbox WHERE recorded_at < now() - CAST(:age AS interval)
""")

COUNT_ENTRIES = text("SELECT count(*) FROM event_store.inbox")

DELETE_OLD_ENTRIES = text("""
    DELETE FROM event_store.inbox WHERE message_id IN (
        SELECT message_id FROM event_store.inbox
        WHERE recorded_at < now() - CAST(:age AS interval)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")


async def count_entries(connection: AsyncConnection, age: timedelta | None = None) -> int:
    """Return the number of entries, or of those older than an age."""
    if age is None:
        counted = await connection.execute(COUNT_ENTRIES)
    else:
        counted = await connection.execute(COUNT_OLD_ENTRIES, {"age": age})
    number: int = counted.scalar_one()
    return number


async def prune_inbox(connection: AsyncConnection, age: timedelta, limit: int) -> int:
    """Delete up to `limit` entries older than an age; return their number."""
    return (await connection.execute(DELETE_OLD_ENTRIES, {"age": age, "limit": limit})).rowcount
