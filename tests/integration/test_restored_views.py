"""`migrate` makes the views of the live generation again, and a generation live if none is."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.verify.findings import FindingKind
from audit.verify.verify import verify
from projections.generations import create, list_generations
from projections.prepare import prepare
from projections.version import CODE_VERSION
from tests.support.documents import document, talk
from tests.support.past import Past

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DROP VIEW spreaview.sessions", id="dropped"),
        pytest.param("DROP VIEW spreaview.stream_progress", id="the progress dropped"),
        pytest.param(
            "DROP VIEW spreaview.rooms; CREATE VIEW spreaview.rooms AS SELECT 1 AS one",
            id="other columns",
        ),
        pytest.param(
            "CREATE OR REPLACE VIEW spreaview.session_speakers AS SELECT spreaview_event_id, "
            "session_id, speaker_id, ordinal FROM spreaview_g1.session_speakers WHERE false",
            id="filtered",
        ),
        pytest.param(
            "CREATE OR REPLACE VIEW spreaview.stream_progress AS SELECT spreaview_event_id, "
            "version, position FROM spreaview_g2.stream_progress",
            id="of another generation",
        ),
        pytest.param("UPDATE projections.generations SET live = false", id="none live"),
    ],
)
async def test_the_remedy_that_verify_names_works(engine: AsyncEngine, statement: str) -> None:
    await Past(engine).imports(document(talk("1"), talk("2", room=8)))
    async with engine.begin() as connection:
        await create(connection, number=2, live=False, code_version=CODE_VERSION)
        for one in statement.split("; "):
            await connection.execute(text(one))
    found = await verify(engine)
    assert FindingKind.READ_SIDE in found.found
    assert any("spreaview-sync migrate" in finding.what for finding in found.findings)
    await prepare(engine)
    assert (await verify(engine)).is_clean


async def test_rights_on_a_view_that_is_replaced_are_kept(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for statement in (
            "GRANT SELECT ON spreaview.rooms TO PUBLIC",
            "CREATE OR REPLACE VIEW spreaview.rooms AS SELECT spreaview_event_id, room_id, "
            "sessionize_id, name, sort, status, position FROM spreaview_g1.rooms WHERE false",
        ):
            await connection.execute(text(statement))
    await prepare(engine)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT relacl::text FROM pg_class WHERE oid = 'spreaview.rooms'::regclass")
        )
        assert "=r/" in found.scalar_one()


async def test_a_lost_list_of_generations_leads_to_a_new_one(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM projections.generations"))
    await prepare(engine)
    async with engine.connect() as connection:
        (generation,) = await list_generations(connection)
    assert (generation.number, generation.live) == (2, True)
