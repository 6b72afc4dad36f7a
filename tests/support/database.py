"""Looking through a whole database for a text."""

import zlib

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog


async def tables_with(engine: AsyncEngine, what: str) -> dict[str, int]:
    """Rows that hold a text, in every table of the database; what is compressed is unpacked."""
    found: dict[str, int] = {}
    async with engine.connect() as connection:
        tables = await connection.execute(
            text("""
                SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
            """)
        )
        for table in tables.scalars().all():
            rows = await connection.execute(
                text(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE :what"),
                {"what": f"%{what}%"},
            )
            if number := rows.scalar_one():
                found[table] = number
        digests = await connection.execute(
            text("SELECT encode(digest, 'hex') FROM event_store.sources")
        )
        kept = digests.scalars().all()
        snapshots = await connection.execute(text("SELECT body FROM event_store.snapshots"))
        for body in snapshots.scalars():
            if what.encode() in zlib.decompress(body):
                found["snapshots"] = found.get("snapshots", 0) + 1
    for digest in kept:
        if what.encode() in (await EventLog(engine).source(digest) or b""):
            found["sources"] = found.get("sources", 0) + 1
    return found
