"""The comments of the public views in the database: the texts of `contracts/views.py`."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.views import SCHEMA, VIEWS

COMMENTS = text("""
    SELECT c.relname AS view, a.attname AS column,
           CASE WHEN a.attname IS NULL THEN obj_description(c.oid, 'pg_class')
                ELSE col_description(c.oid, a.attnum) END AS comment
    FROM pg_class c
    LEFT JOIN LATERAL (
        SELECT attname, attnum FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT NULL, NULL) a ON true
    WHERE c.relkind = 'v' AND c.relnamespace = to_regnamespace(:schema)
""")

# COMMENT takes no parameters, so PostgreSQL quotes the text first.
COMMENT = text("SELECT format('COMMENT ON %s IS %L', CAST(:on AS text), CAST(:comment AS text))")


async def comment_views(connection: AsyncConnection) -> None:
    """Write the comments that are missing or differ. Readers do not wait."""
    found = await connection.execute(COMMENTS, {"schema": SCHEMA})
    present = {(row.view, row.column): row.comment for row in found}
    for name, view in VIEWS.items():
        await _comment(connection, f"VIEW {SCHEMA}.{name}", view.description, present[name, None])
        for column in view.columns:
            target = f'COLUMN {SCHEMA}.{name}."{column}"'
            await _comment(connection, target, view.comment(column), present[name, column])


async def _comment(connection: AsyncConnection, target: str, comment: str, present: object) -> None:
    if comment != present:
        quoted = await connection.execute(COMMENT, {"on": target, "comment": comment})
        await connection.exec_driver_sql(quoted.scalar_one())
