"""Switches and rollbacks while readers and projectors use the live generation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections import generations
from projections.generations import GenerationsError
from projections.projector import Projector
from projections.rebuild.dropping import drop_generations
from projections.rebuild.rebuild import (
    generation_summaries,
)
from tests.support.processes import PATIENCE
from tests.support.rebuilds import (
    append_runs,
    append_sessions,
    catch_up,
    dump_all,
    rebuild_quietly,
    rollback_quietly,
)
from tests.support.streams import (
    restore_to,
    sweeping,
)

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def reader(engine: AsyncEngine, faults: list[str]) -> AsyncIterator[None]:
    """Poll the views through cached prepared statements; collect faults in `faults`."""
    done = asyncio.Event()

    async def read() -> None:
        seen: dict[UUID, int] = {}
        progress = text("""
            SELECT p.spreaview_event_id, p.version, r.name FROM spreaview.stream_progress p
            LEFT JOIN spreaview.rooms r USING (spreaview_event_id)
        """)
        whole = text("SELECT * FROM spreaview.sessions ORDER BY position DESC LIMIT 5")
        while not done.is_set():
            try:
                async with engine.connect() as connection:
                    for row in await connection.execute(progress):
                        before = seen.get(row.spreaview_event_id, 0)
                        if row.version < before:
                            faults.append(f"{row.version} after {before}")
                        if row.version > 1 and row.name is None:
                            faults.append(f"no room at version {row.version}")
                        seen[row.spreaview_event_id] = row.version
                    if (
                        seen
                        and max(seen.values()) > 1
                        and not (await connection.execute(whole)).all()
                    ):
                        faults.append("no sessions")
            except Exception as error:
                faults.append(repr(error))
            await asyncio.sleep(0.01)
        if not seen:
            faults.append("the reader saw no rows")

    readers = [asyncio.create_task(read()) for _ in range(2)]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*readers)


async def until_shown(engine: AsyncEngine, versions: dict[UUID, int]) -> None:
    """Wait until the views show these versions."""
    statement = text("SELECT spreaview_event_id, version FROM spreaview.stream_progress")
    async with asyncio.timeout(PATIENCE):
        while True:
            async with engine.connect() as connection:
                if {row[0]: row[1] for row in await connection.execute(statement)} == versions:
                    return
            await asyncio.sleep(0.02)


async def test_switches_under_load_show_no_error_and_no_older_state(
    engine: AsyncEngine, log: EventLog
) -> None:
    streams = await append_runs(log, streams=4, runs=1)
    await catch_up(engine, streams)
    faults: list[str] = []
    done = asyncio.Event()
    versions: dict[UUID, int] = {}

    async def write(stream: UUID) -> None:
        number = 1
        while not done.is_set():
            number += 1
            versions[stream] = await append_sessions(log, stream, number)
            await asyncio.sleep(0.03)

    with sweeping(*(Projector(engine, sweep_seconds=0.01) for _ in range(2))):
        async with reader(engine, faults):
            writing = [asyncio.create_task(write(stream)) for stream in streams]
            for _ in range(3):
                done_one = await rebuild_quietly(engine)
                assert done_one.parity is not None
                assert done_one.parity.equal
                await rollback_quietly(engine)
            done.set()
            await asyncio.gather(*writing)
            await until_shown(engine, versions)
    assert not faults
    live = await dump_all(engine)
    again = await rebuild_quietly(engine, keep=0)
    assert again.parity is not None
    assert (again.parity.equal, again.parity.streams) == (True, 4)
    assert await dump_all(engine) == live
    assert len(again.dropped) == 4
    assert [each.generation.number for each in await generation_summaries(engine)] == [5]


async def test_a_reader_in_an_open_transaction_only_delays_the_switch(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    look = text("SELECT version FROM spreaview.stream_progress")
    async with engine.connect() as connection:
        await connection.execute(look)
        rebuilding = asyncio.create_task(rebuild_quietly(engine))
        await asyncio.sleep(1.0)
        assert not rebuilding.done()
        async with engine.connect() as other:
            await asyncio.wait_for(other.execute(look), 5)
        await connection.execute(text("SELECT count(*) FROM spreaview.sync_runs"))
    done = await asyncio.wait_for(rebuilding, PATIENCE)
    assert done.live.number == 2


async def test_a_prepared_statement_with_named_columns_survives_every_switch(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    """An added column breaks a kept `SELECT *` once, within a transaction (operations.md)."""
    await append_runs(log, streams=1, runs=1)
    connection = await asyncpg.connect(database_url)
    try:
        named = await connection.prepare("SELECT version FROM spreaview.stream_progress")
        star = await connection.prepare("SELECT * FROM spreaview.stream_progress")
        assert (await named.fetch(), await star.fetch()) == ([], [])
        await rebuild_quietly(engine)
        assert await named.fetchval() == (await star.fetch())[0]["version"] == 9
        async with engine.begin() as changing:
            await changing.execute(
                text("""
                    CREATE OR REPLACE VIEW spreaview.stream_progress AS
                    SELECT spreaview_event_id, version, position, error AS added
                    FROM spreaview_g1.stream_progress
                """)
            )
        assert await named.fetch() == []  # the first generation is empty
        async with connection.transaction():
            assert await named.fetch() == []
        with pytest.raises(asyncpg.InvalidCachedStatementError):
            async with connection.transaction():
                await star.fetch()
    finally:
        await connection.close()


async def test_a_rollback_includes_the_events_appended_since(
    engine: AsyncEngine, log: EventLog
) -> None:
    (stream,) = await append_runs(log, streams=1, runs=1)
    await rebuild_quietly(engine)
    await append_sessions(log, stream, 2)
    (other,) = await append_runs(log, streams=1, runs=1)
    await catch_up(engine, [stream, other])
    expected = await dump_all(engine)
    back = await rollback_quietly(engine)
    assert (back.live.number, back.before.number) == (1, 2)
    assert await dump_all(engine) == expected
    assert (await rollback_quietly(engine)).live.number == 2


async def test_a_generation_ahead_of_the_log_is_refused_for_a_rollback(
    engine: AsyncEngine, log: EventLog
) -> None:
    (stream,) = await append_runs(log, streams=1, runs=1)
    await catch_up(engine, [stream])
    await rebuild_quietly(engine)
    await restore_to(engine, stream, 1)
    with pytest.raises(GenerationsError, match="is ahead of the log"):
        await rollback_quietly(engine)


async def test_concurrent_changes_are_refused_and_the_live_generation_is_never_dropped(
    engine: AsyncEngine,
) -> None:
    async with generations.maintenance_lock(engine):
        for attempt in (
            rebuild_quietly(engine),
            rollback_quietly(engine),
            drop_generations(engine, None),
        ):
            with pytest.raises(GenerationsError, match="is running"):
                await attempt
    with pytest.raises(GenerationsError, match="live"):
        await drop_generations(engine, 1)
    with pytest.raises(GenerationsError, match="no generation 7"):
        await drop_generations(engine, 7)
    with pytest.raises(GenerationsError, match="live before"):
        await rollback_quietly(engine)
