"""The public views: made again if they are missing, or differ from their scripts."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.statements import SET_SEARCH_PATH
from projections.tables import run_sql, script_text

_PUBLIC = "spreaview"
_SCRATCH = "spreaview_expected"

VIEWS_OF = text("""
    SELECT c.relname AS view, pg_get_viewdef(c.oid) AS definition,
           ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                 FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                 ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind = 'v'
    ORDER BY c.relname
""")


class _View(NamedTuple):
    definition: str
    columns: list[str]
    """Name and type of each, in order."""


async def restore_views(connection: AsyncConnection, generation: str) -> None:
    """Make the public views show a generation, unless all of them do. Keeps the rights on them.

    A view whose columns were changed is dropped first, so other roles lose their rights on it.
    Selects the generation until the transaction ends. Readers wait only if a view is made again.
    """
    await connection.execute(SET_SEARCH_PATH, {"schema": generation})
    await _restore(connection, script_text("views.sql"))


async def restore_erasures_view(connection: AsyncConnection) -> None:
    """Make the public view of erasures again, with the guarantees of `restore_views`."""
    await _restore(connection, script_text("erasures.sql"))


async def _restore(connection: AsyncConnection, script: str) -> None:
    expected = await _as_scripted(connection, script)
    found = await _views_of(connection, _PUBLIC)
    changed = [view for view in expected if found.get(view) != expected[view]]
    for view in changed:
        if view in found and not _may_be_replaced(found[view], expected[view]):
            await connection.exec_driver_sql(f'DROP VIEW {_PUBLIC}."{view}"')
    if changed:
        await run_sql(connection, script)


def _may_be_replaced(old: _View, new: _View) -> bool:
    """Whether PostgreSQL replaces the view: it only adds columns at the end."""
    return new.columns[: len(old.columns)] == old.columns


async def _as_scripted(connection: AsyncConnection, script: str) -> dict[str, _View]:
    """Return the views that the script makes. They are made in a schema that is rolled back."""
    savepoint = await connection.begin_nested()
    await connection.exec_driver_sql(f"CREATE SCHEMA {_SCRATCH}")
    await run_sql(connection, script.replace(f"{_PUBLIC}.", f"{_SCRATCH}."))
    views = await _views_of(connection, _SCRATCH)
    await savepoint.rollback()
    return views


async def _views_of(connection: AsyncConnection, schema: str) -> dict[str, _View]:
    found = await connection.execute(VIEWS_OF, {"schema": schema})
    return {row.view: _View(row.definition, list(row.columns)) for row in found}
