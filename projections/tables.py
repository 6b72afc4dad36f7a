"""The tables of a generation and the columns of the public views."""

from collections.abc import Mapping
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.views import VIEWS, View
from eventstore.driver import driver_of

GENERATION_VIEWS: Mapping[str, View] = {
    name: view for name, view in VIEWS.items() if name != "erasures"
}
"""The public views over the live generation."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: tuple(view.columns) for name, view in GENERATION_VIEWS.items() if name != "speakers"
}
"""The public columns of each view over one table of a generation, in their order."""

ADDED_COLUMNS: Mapping[tuple[str, str], str] = {("sessions", "topics"): "jsonb"}
"""Type by table and column: the columns that generations of earlier versions lack.

They are nullable, at the end of their table, and `migrate` adds them to every generation. So
projectors of both versions can write it; a rebuild fills the rows that are there already."""

TABLE_SIZES = text("""
    SELECT c.relname, pg_total_relation_size(c.oid) AS size
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname
""")

TABLE_COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace)
    ORDER BY c.relname, a.attnum
""")


async def run_script(connection: AsyncConnection, script: str) -> None:
    """Run a script of `projections/sql`."""
    await run_sql(connection, script_text(script))


def script_text(script: str) -> str:
    """Return the statements of a script of `projections/sql`."""
    return files("projections").joinpath("sql", script).read_text("utf-8")


async def run_sql(connection: AsyncConnection, statements: str) -> None:
    """Run several statements at once: only the driver accepts them."""
    await (await driver_of(connection)).execute(statements)
