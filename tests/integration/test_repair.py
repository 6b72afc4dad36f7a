"""A repair replaces the rows of a stream, seen by readers as a whole."""

import asyncio
import json
from typing import cast
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.projector import Projector, apply_next
from projections.repair import RepairError, repair
from tests.support.processes import environment, run
from tests.support.streams import (
    BREAK,
    append_run,
    change_log,
    dump,
    sweeping,
    two_runs,
    until_applied,
)

pytestmark = pytest.mark.asyncio


async def test_a_repair_makes_the_same_rows_as_the_projector(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream, other = uuid4(), uuid4()
    for number in (1, 2):
        await append_run(log, stream, number)
        await append_run(log, other, number)
    for each in (stream, other):  # one by one: their rooms have the same id, unlike real rooms
        await Projector(engine, sweep_seconds=60).catch_up([each])
    expected, of_other = await dump(engine, stream), await dump(engine, other)
    for spoil in (
        "UPDATE spreaview_g1.rooms SET name = 'wrong' WHERE spreaview_event_id = :s",
        "DELETE FROM spreaview_g1.sync_runs WHERE spreaview_event_id = :s",
        "UPDATE spreaview_g1.stream_progress SET error = 'stopped' WHERE spreaview_event_id = :s",
    ):
        async with engine.begin() as connection:
            await connection.execute(text(spoil), {"s": stream})
    repaired = await repair(engine, stream)
    assert (repaired.before["sync_runs"], repaired.after["sync_runs"]) == (0, 2)
    assert await dump(engine, stream) == expected
    assert await dump(engine, other) == of_other


async def test_readers_see_consistent_rows_during_repairs_and_projection(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    projector = Projector(engine, sweep_seconds=0.01)
    done = asyncio.Event()
    seen: set[tuple[int, str]] = set()

    async def read() -> None:
        statement = text("""
            SELECT p.version, r.name FROM spreaview.stream_progress p
            LEFT JOIN spreaview.rooms r USING (spreaview_event_id) WHERE spreaview_event_id = :s
        """)
        while not done.is_set():
            async with engine.connect() as connection:
                row = (await connection.execute(statement, {"s": stream})).one()
            seen.add((row.version, row.name))

    with sweeping(projector):
        await until_applied(engine, stream, 3)
        reading = asyncio.create_task(read())
        for number in range(2, 8):
            await append_run(log, stream, number)
            await asyncio.gather(*(repair(engine, stream) for _ in range(3)))
        await until_applied(engine, stream, 21)
        done.set()
        await reading
    # A run takes three versions: started, room, completed; the name changes with the last.
    assert all(name == f"run {version // 3}" for version, name in seen)


async def test_a_failed_repair_changes_nothing_and_the_next_streams_are_repaired(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    good, bad = await two_runs(engine, log), await two_runs(engine, log)
    await change_log(engine, BREAK, stream=bad)
    before = await dump(engine, bad)
    with pytest.raises(RepairError):
        await repair(engine, bad)
    assert await dump(engine, bad) == before
    done = await asyncio.to_thread(
        run,
        *("projections", "repair", str(bad), str(good), "--json"),
        env=environment(database_url=database_url),
    )
    answer = {row["spreaview_event_id"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert answer[str(good)]["version"] == 6
    assert "name" in answer[str(bad)]["error"]
    assert "Traceback" not in done.stderr


async def test_a_repair_by_pages_works_alongside_a_projector(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page is one outcome; the projector applies what is appended meanwhile."""
    monkeypatch.setitem(cast("dict[str, object]", apply_next.__kwdefaults__), "limit", 3)
    stream = uuid4()
    with sweeping(Projector(engine, sweep_seconds=0.01)):
        for number in range(1, 9):
            await append_run(log, stream, number)
            repaired = await repair(engine, stream)
            assert repaired.after["sync_runs"] == number
        await until_applied(engine, stream, 24)
    seen = await dump(engine, stream)
    await repair(engine, stream)
    assert await dump(engine, stream) == seen
