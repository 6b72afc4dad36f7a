"""Stopped streams go on, streams that are ahead of the log are noticed, and rows are mended."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.projector import Projector
from projections.repair import repair
from projections.status import projections_status
from projections.version import CODE_VERSION
from tests.integration.test_projectors import append_run
from tests.support.line import VIEWS, rows
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

PATIENCE = 30.0


async def change_the_past(engine: AsyncEngine, *statements: str, stream: UUID) -> None:
    """Do what only a superuser can."""
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_store.events DISABLE TRIGGER USER"))
        for statement in statements:
            await connection.execute(text(statement), {"stream": stream})
        await connection.execute(
            text("ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only")
        )


SPOIL = (
    "UPDATE event_store.events SET data = data - 'name' WHERE stream_id = :stream AND data ? 'name'"
)
MEND = """
    UPDATE event_store.events SET data = data || '{"name": "run 1"}'
    WHERE stream_id = :stream AND type = 'RoomImported'
"""


async def dump(engine: AsyncEngine, stream: UUID) -> dict[str, list[dict[str, object]]]:
    return {view: await rows(engine, view, stream) for view in VIEWS if view != "speakers"}


async def a_stopped_stream(engine: AsyncEngine, log: EventLog) -> UUID:
    stream = uuid4()
    await append_run(log, stream, 1)
    await change_the_past(engine, SPOIL, stream=stream)
    await Projector(engine, sweep_seconds=60, code_version="old").catch_up([stream])
    return stream


async def test_a_stopped_stream_is_told_with_the_event_that_stopped_it(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = await a_stopped_stream(engine, log)
    status = await projections_status(engine)
    assert not status.is_well
    (stopped,) = status.stopped
    room = (await log.read_all(0))[1]
    assert (stopped.stream_id, stopped.version, stopped.behind) == (stream, 0, 3)
    assert (stopped.position, stopped.type) == (room.position, "RoomImported")
    assert (status.lag.streams, status.events_behind) == (0, 0), "nothing else waits"
    assert stopped.code_version == "old"
    assert "name" in stopped.error


async def test_retrying_goes_on_where_the_cause_is_gone_and_stops_again_where_not(
    engine: AsyncEngine, log: EventLog
) -> None:
    mended, spoilt = await a_stopped_stream(engine, log), await a_stopped_stream(engine, log)
    await change_the_past(engine, MEND, stream=mended)
    resumed = await Projector(engine, sweep_seconds=60).resume(None)
    (stopped,) = (await projections_status(engine)).stopped
    assert stopped.stream_id == spoilt
    assert resumed == sorted([(mended, None), (spoilt, stopped.error)])
    assert (await rows(engine, "rooms", mended))[0]["name"] == "run 1"


@contextmanager
def sweeping(*projectors: Projector) -> Iterator[None]:
    tasks = [asyncio.create_task(projector.sweep()) for projector in projectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def test_other_code_tries_by_itself_once(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions side by side, as in a rolling update: each tries, and they do not fight."""
    stream = await a_stopped_stream(engine, log)
    tries: list[str] = []
    has_tried = asyncio.Event()
    original = Projector._stop

    async def counted(self: Projector, stream_id: UUID, error: Exception) -> None:
        await original(self, stream_id, error)
        tries.append(self._code_version)
        has_tried.set()

    monkeypatch.setattr(Projector, "_stop", counted)
    healthy = uuid4()
    old = Projector(engine, sweep_seconds=0.02, code_version="old")
    with sweeping(old, Projector(engine, sweep_seconds=0.02, code_version="new")):
        await asyncio.wait_for(has_tried.wait(), PATIENCE)
        for version in range(1, 31):
            await append_run(log, healthy, version)  # many sweeps go by
            await applied(engine, healthy, 3 * version)
        assert tries == ["new", "old"]
        await change_the_past(engine, MEND, stream=stream)
    newer = Projector(engine, sweep_seconds=0.02, code_version="newer")
    with sweeping(newer):
        await applied(engine, stream, 3)


async def applied(engine: AsyncEngine, stream: UUID, version: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await rows(engine, "stream_progress", stream)
            if found and found[0]["version"] == version:
                return
            await asyncio.sleep(0.01)


async def test_repairing_makes_the_rows_that_projecting_made(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream, other = uuid4(), uuid4()
    for number in (1, 2):
        await append_run(log, stream, number)
        await append_run(log, other, number)
    for each in (stream, other):  # their rooms have the same id, which real ones never have
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


async def test_readers_see_whole_rows_while_a_stream_is_repaired_and_projected(
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
        await applied(engine, stream, 3)
        reading = asyncio.create_task(read())
        for number in range(2, 8):
            await append_run(log, stream, number)
            await asyncio.gather(*(repair(engine, stream) for _ in range(3)))
        await applied(engine, stream, 21)
        done.set()
        await reading
    # A run takes three versions: started, room, completed; the name changes with the last.
    assert all(name == f"run {version // 3}" for version, name in seen)


async def restore_to(engine: AsyncEngine, stream: UUID, version: int) -> None:
    await change_the_past(
        engine,
        f"DELETE FROM event_store.events WHERE stream_id = :stream AND version > {version}",
        f"UPDATE event_store.streams SET version = {version} WHERE stream_id = :stream",
        stream=stream,
    )


@pytest.mark.parametrize("grown", [False, True])
async def test_a_stream_that_is_ahead_of_a_restored_log_is_noticed_and_mended(
    engine: AsyncEngine, log: EventLog, grown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stream, other = uuid4(), uuid4()
    for number in (1, 2):
        await append_run(log, stream, number)
    await append_run(log, other, 1)
    await Projector(engine, sweep_seconds=60).catch_up(sorted([stream, other]))
    await restore_to(engine, stream, 3)
    if grown:
        for number in (2, 3):
            await append_run(log, stream, number)
    with sweeping(Projector(engine, sweep_seconds=0.02)):
        async with asyncio.timeout(PATIENCE):
            while not (await projections_status(engine)).stopped:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert "projections repair --ahead" in caplog.text
    status = await projections_status(engine)
    (stopped,), (ahead,) = status.stopped, status.ahead
    assert stopped.stream_id == ahead.stream_id == stream
    (resumed,) = await Projector(engine, sweep_seconds=60).resume([stream])
    assert (resumed.stream_id, resumed.error is None) == (stream, False)
    assert (await projections_status(engine)).stopped, "a retry cannot mend it"

    await repair(engine, stream)
    status = await projections_status(engine)
    assert status.is_well
    expected = "run 3" if grown else "run 1"
    assert [row["name"] for row in await rows(engine, "rooms", stream)] == [expected]


async def test_a_stream_that_the_log_does_not_know_is_removed(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    await Projector(engine, sweep_seconds=60).catch_up([stream])
    await change_the_past(
        engine,
        "DELETE FROM event_store.events WHERE stream_id = :stream",
        "DELETE FROM event_store.streams WHERE stream_id = :stream",
        stream=stream,
    )
    assert len((await projections_status(engine)).ahead) == 1
    repaired = await repair(engine, stream)
    assert (repaired.version, set(repaired.after.values())) == (0, {0})
    assert (await projections_status(engine)).is_well


async def test_the_commands(engine: AsyncEngine, log: EventLog, database_url: str) -> None:
    stream = await a_stopped_stream(engine, log)
    env = environment(database_url=database_url)
    shown = await asyncio.to_thread(run, "projections", "status", "--json", env=env)
    told = json.loads(shown.stdout)
    assert (shown.returncode, told["well"], told["code_version"]) == (1, False, CODE_VERSION)
    assert told["stopped"][0]["stream_id"] == str(stream)
    retried = await asyncio.to_thread(run, "projections", "retry", "--all", env=env)
    assert (retried.returncode, str(stream) in retried.stdout) == (1, True)
    await change_the_past(engine, MEND, stream=stream)
    repaired = await asyncio.to_thread(run, "projections", "repair", str(stream), "--json", env=env)
    assert json.loads(repaired.stdout)[0]["version"] == 3
    shown = await asyncio.to_thread(run, "projections", "status", env=env)
    assert (shown.returncode, "stopped" in shown.stdout) == (0, False)
    assert "projections rebuild" not in shown.stdout
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE projections.generations SET code_version = 'older'"))
    shown = await asyncio.to_thread(run, "projections", "status", env=env)
    assert (shown.returncode, "by code older" in shown.stdout) == (0, True)
    assert "projections rebuild" in shown.stdout
    nothing = await asyncio.to_thread(run, "projections", "retry", env=env)
    assert nothing.returncode == 2


async def test_where_no_projector_runs_the_status_is_not_well(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    env = environment(database_url=database_url, stuck_seconds="0.001")
    shown = await asyncio.to_thread(run, "projections", "status", env=env)
    assert shown.returncode == 1
    assert f"stands still {stream}" in shown.stdout
    patient = environment(database_url=database_url)
    assert (await asyncio.to_thread(run, "projections", "status", env=patient)).returncode == 0
