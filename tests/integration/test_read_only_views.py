"""The public views are read-only for everybody; a generation keeps the rights of the live one."""

import asyncio
from collections.abc import Mapping
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from eventstore.log import EventLog
from projections.generations import GenerationAccessError
from projections.prepare import prepare
from projections.status import oldest_lag, projections_status
from tests.support.documents import document, talk
from tests.support.line import VIEWS
from tests.support.past import Past
from tests.support.processes import environment, run
from tests.support.rebuilds import catch_up, dump_all, rebuild_quietly, rollback_quietly
from tests.support.roles import logins
from tests.support.streams import append_run

pytestmark = pytest.mark.asyncio

CHANGES = (
    "DELETE FROM spreaview.{view}",
    "UPDATE spreaview.{view} SET position = 0",
    "INSERT INTO spreaview.{view} DEFAULT VALUES",
)

RIGHTS = text("""
    SELECT c.relname, g.grantee::regrole::text, g.privilege_type, g.is_grantable, ''
    FROM pg_class c, aclexplode(c.relacl) g
    WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace(:schema)
      AND g.grantee <> c.relowner
    UNION ALL
    SELECT c.relname, g.grantee::regrole::text, g.privilege_type, g.is_grantable, a.attname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) g
    WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace(:schema)
    UNION ALL
    SELECT '', g.grantee::regrole::text, g.privilege_type, g.is_grantable, ''
    FROM pg_namespace n, aclexplode(n.nspacl) g
    WHERE n.oid = to_regnamespace(:schema) AND g.grantee <> n.nspowner
""")


async def rights(engine: AsyncEngine, schema: str) -> set[tuple[object, ...]]:
    async with engine.connect() as connection:
        return {tuple(row) for row in await connection.execute(RIGHTS, {"schema": schema})}


async def administer(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def a_row_in_every_view(engine: AsyncEngine) -> None:
    past = Past(engine)
    unscheduled = talk("2") | {"startsAt": None, "endsAt": None}
    await past.imports(document(talk("1", speakers=["ada"]), unscheduled))
    assert all((await dump_all(engine)).values())


async def refuse_every_change(engine: AsyncEngine) -> None:
    before = await dump_all(engine)
    for view in VIEWS:
        for change in CHANGES:
            if view == "session_speakers":
                change = change.replace("position", "ordinal")
            with pytest.raises(ProgrammingError, match="read-only"):
                await administer(engine, change.format(view=view))
    assert await dump_all(engine) == before


async def test_even_the_owner_cannot_change_a_view(engine: AsyncEngine) -> None:
    await a_row_in_every_view(engine)
    await refuse_every_change(engine)


async def test_the_views_stay_read_only_after_a_rebuild_and_a_rollback(engine: AsyncEngine) -> None:
    await a_row_in_every_view(engine)
    await rebuild_quietly(engine)
    await refuse_every_change(engine)
    await rollback_quietly(engine)
    await refuse_every_change(engine)


async def test_migrate_makes_the_views_of_an_existing_database_read_only(
    engine: AsyncEngine,
) -> None:
    await a_row_in_every_view(engine)
    await administer(engine, "DROP FUNCTION projections.refuse_change() CASCADE")
    await prepare(engine)
    await refuse_every_change(engine)


async def test_a_rebuild_keeps_the_rights_of_the_live_generation(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    urls = await logins(database_url)
    past = Past(engine)
    await past.imports(document(talk("1")))
    await administer(
        engine,
        "GRANT SELECT (name) ON spreaview_g1.rooms TO spreaview_reader",
        "GRANT SELECT ON spreaview_g1.sessions TO spreaview_auditor WITH GRANT OPTION",
    )
    before = await rights(engine, "spreaview_g1")

    rebuilt = await rebuild_quietly(engine)

    assert await rights(engine, rebuilt.live.schema) == before
    stream = uuid4()
    await append_run(log, stream, 1)
    async with database(urls["projector"], pool_size=2) as own:
        await asyncio.wait_for(catch_up(own, [stream]), 30)
    assert (await projections_status(engine)).is_well


async def test_a_rollback_takes_the_rights_of_the_live_generation_and_no_older_ones(
    engine: AsyncEngine, database_url: str
) -> None:
    await logins(database_url)
    rebuilt = await rebuild_quietly(engine)
    await administer(
        engine,
        f"REVOKE ALL ON {rebuilt.live.schema}.rooms FROM spreaview_auditor",
        "GRANT SELECT (name) ON spreaview_g1.rooms TO spreaview_reader",
    )
    await rollback_quietly(engine)
    assert await rights(engine, "spreaview_g1") == await rights(engine, rebuilt.live.schema)


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_projector_without_rights_on_the_live_generation_is_named(
    as_json: bool, engine: AsyncEngine, database_url: str
) -> None:
    urls: Mapping[str, str] = await logins(database_url)
    live = (await rebuild_quietly(engine)).live.schema
    await administer(
        engine,
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {live} FROM spreaview_projector",
        f"REVOKE ALL ON SCHEMA {live} FROM spreaview_projector",
    )
    async with database(urls["projector"], pool_size=1) as own:
        with pytest.raises(GenerationAccessError, match=rf"{live}.*deploy/roles\.sql"):
            await oldest_lag(own)
    words = ("projections", "status", *(["--json"] if as_json else []))
    for url in (database_url, urls["projector"]):
        done = await asyncio.to_thread(run, *words, env=environment(database_url=url))
        assert done.returncode == 1
        said = done.stdout + done.stderr
        assert "spreaview_projector" in said if url == database_url else live in said
        assert "does not exist" not in said
