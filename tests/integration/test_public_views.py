"""The public views have the documented columns and comments, and `migrate` brings them back."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.views import VIEWS
from projections.prepare import prepare

pytestmark = pytest.mark.asyncio

COLUMNS = text("""
    SELECT c.relname AS view, a.attname AS column, col_description(c.oid, a.attnum) AS comment
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'v' AND c.relnamespace = 'spreaview'::regnamespace
    ORDER BY c.relname, a.attnum
""")
COMMENTS = text("""
    SELECT relname, obj_description(oid, 'pg_class') AS comment FROM pg_class
    WHERE relkind = 'v' AND relnamespace = 'spreaview'::regnamespace
""")


async def columns_of(engine: AsyncEngine) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    async with engine.connect() as connection:
        for view, column, comment in await connection.execute(COLUMNS):
            found.setdefault(view, {})[column] = comment
    return found


async def test_each_view_and_column_has_its_documented_comment(engine: AsyncEngine) -> None:
    columns = await columns_of(engine)
    async with engine.connect() as connection:
        comments = {row.relname: row.comment for row in await connection.execute(COMMENTS)}

    assert comments == {name: view.description for name, view in VIEWS.items()}
    for name, view in VIEWS.items():
        assert list(columns[name]) == list(view.columns), name
        assert columns[name] == {column: view.comment(column) for column in view.columns}


@pytest.mark.parametrize("view", VIEWS)
async def test_a_dropped_view_is_brought_back(engine: AsyncEngine, view: str) -> None:
    before = await columns_of(engine)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"DROP VIEW spreaview.{view}")

    await prepare(engine)

    assert await columns_of(engine) == before


async def test_a_comment_that_was_changed_is_written_again(engine: AsyncEngine) -> None:
    before = await columns_of(engine)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("COMMENT ON COLUMN spreaview.rooms.name IS 'wrong'")

    await prepare(engine)

    assert await columns_of(engine) == before


async def test_the_values_of_a_status_are_those_that_a_table_allows(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("""
                SELECT conrelid::regclass::text AS table, pg_get_constraintdef(oid) AS check
                FROM pg_constraint
                WHERE contype = 'c' AND connamespace IN (
                    'spreaview_g1'::regnamespace, 'event_store'::regnamespace)
            """)
        )
        checks = {row.table.rpartition(".")[2]: row.check for row in found}

    for name, view in VIEWS.items():
        for column, values in view.values.items():
            check = checks["event_speakers" if name == "speakers" else name]
            assert column in check
            assert all(f"'{value}'" in check for value in values)
            assert check.count("'") == 2 * len(values)
