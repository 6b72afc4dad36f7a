"""Changes of the read models wait for long readers without holding up anybody else."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.verify.verify import verify
from cli.command import REFUSED, finish
from cli.commands.migrate import migrate_database
from cli.settings import Settings
from contracts.views import VIEWS
from projections import added_columns, lock_conflicts
from projections import prepare as prepare_module
from projections.generations import (
    TAKE_GENERATION,
    NoQuietMomentError,
    select_live_generation,
)
from projections.prepare import prepare
from projections.rebuild.dropping import drop_generations
from tests.support.processes import PATIENCE
from tests.support.rebuilds import rebuild_quietly

pytestmark = pytest.mark.asyncio

BACKUP = text("LOCK TABLE spreaview_g1.rooms IN ACCESS SHARE MODE")
TRY_TO_SWITCH = text(TAKE_GENERATION.text.replace("pg_advisory", "pg_try_advisory")).bindparams(
    **TAKE_GENERATION.compile().params
)
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = :mode")


async def until_waiting(engine: AsyncEngine, mode: str) -> None:
    """Wait until a transaction waits for a lock of this mode."""
    async with asyncio.timeout(PATIENCE), engine.connect() as connection:
        while True:
            if (await connection.execute(WAITING, {"mode": mode})).scalar_one():
                return
            await asyncio.sleep(0.01)


async def project(engine: AsyncEngine) -> None:
    """Begin a transaction as projectors do; fail if it has to wait."""
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        await select_live_generation(connection)


async def test_a_drop_that_waits_for_a_backup_lets_projectors_work(engine: AsyncEngine) -> None:
    await rebuild_quietly(engine)
    async with engine.connect() as backup:
        await backup.execute(BACKUP)
        dropping = asyncio.create_task(drop_generations(engine, 1))
        await until_waiting(engine, "AccessExclusiveLock")
        await project(engine)
        assert not dropping.done()
    assert await asyncio.wait_for(dropping, PATIENCE) == [1]


async def test_a_drop_without_a_quiet_moment_names_the_backup(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_conflicts, "_TRIES", 2)
    await rebuild_quietly(engine)
    async with engine.connect() as backup:
        await backup.execute(BACKUP)
        with pytest.raises(NoQuietMomentError, match=r"not dropped: generation 1: .* backup"):
            await drop_generations(engine, None)


async def test_a_rebuild_whose_old_generation_is_being_read_is_live_and_names_the_problem(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_conflicts, "_TRIES", 2)
    async with engine.connect() as backup:
        await backup.execute(BACKUP)
        done = await rebuild_quietly(engine, keep=0)
    assert (done.live.number, done.dropped) == (2, [])
    assert str(done.problem).startswith("not dropped: generation 1: ")


async def test_readers_do_not_delay_migrate_if_nothing_is_to_be_changed(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as reader:
        for view in VIEWS:
            await reader.execute(text(f"SELECT count(*) FROM spreaview.{view}"))
        await asyncio.wait_for(prepare(engine), PATIENCE)


@pytest.mark.parametrize(
    "older",
    [
        "CREATE OR REPLACE VIEW spreaview.erasures AS SELECT request_id, organization_id, "
        "speaker_id, status, streams, erased_at, reason FROM event_store.erasures WHERE false",
        "CREATE OR REPLACE VIEW spreaview.rooms AS SELECT spreaview_event_id, room_id, "
        "sessionize_id, name, sort, status, position FROM spreaview_g1.rooms WHERE false",
    ],
    ids=["erasures", "rooms"],
)
async def test_migrate_waits_for_a_reader_of_a_view_and_lets_others_read(
    engine: AsyncEngine, older: str
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(older))
    view = text(f"SELECT count(*) FROM {older.split()[4]}")
    async with engine.connect() as reader:
        await reader.execute(view)
        preparing = asyncio.create_task(prepare(engine))
        await until_waiting(engine, "AccessExclusiveLock")
        async with engine.begin() as other:
            await other.execute(text("SET LOCAL lock_timeout = '5s'"))
            await other.execute(view)
        assert not preparing.done()
    await asyncio.wait_for(preparing, PATIENCE)
    assert (await verify(engine)).is_clean


@pytest.mark.parametrize("is_hidden", [False, True])
async def test_no_generation_becomes_live_while_the_views_are_made(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, *, is_hidden: bool
) -> None:
    """Otherwise the views could show the generation that was live before."""
    if is_hidden:
        async with engine.begin() as connection:
            await connection.execute(text("DROP VIEW spreaview.rooms"))
    module = added_columns if is_hidden else prepare_module
    restore, tries = module.restore_views, []

    async def with_a_switch(*given: Any) -> None:
        async with engine.connect() as other:
            tries.append((await other.execute(TRY_TO_SWITCH)).scalar_one())
        await restore(*given)

    monkeypatch.setattr(module, "restore_views", with_a_switch)
    await prepare(engine)
    assert tries == [False]


async def test_an_erasure_that_waits_for_a_long_repair_lets_projectors_work(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as repair:
        await select_live_generation(repair)
        erasing = asyncio.create_task(erase(engine, uuid4(), uuid4()))
        await until_waiting(engine, "ExclusiveLock")
        await project(engine)
        assert not erasing.done()
    await asyncio.wait_for(erasing, PATIENCE)


async def test_migrate_without_a_quiet_moment_ends_with_a_sentence(
    engine: AsyncEngine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lock_conflicts, "_TRIES", 2)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE spreaview_g1.sessions DROP topics CASCADE"))
    settings = Settings(database_url=database_url)
    async with engine.connect() as repair:
        await select_live_generation(repair)
        assert await finish(migrate_database, settings, as_json=False) == REFUSED
    assert capsys.readouterr().err == (
        "spreaview-sync: the read models were not brought to this version: other transactions "
        f"held the read models all the time. Remedy: {lock_conflicts.REMEDY}\n"
    )
