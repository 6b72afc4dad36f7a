"""A rebuild that was interrupted is resumed, or starts over if its generation is of no use."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections import generations
from projections.rebuild import fill as filling
from projections.rebuild.rebuild import (
    rebuild,
)
from projections.version import CODE_VERSION
from tests.support.line import rows
from tests.support.long_log import load
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment, run
from tests.support.rebuilds import (
    append_runs,
    append_sessions,
    catch_up,
    dump_all,
)
from tests.support.streams import (
    change_log,
)

pytestmark = pytest.mark.asyncio


@contextmanager
def rebuilding(database_url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "projections", "rebuild", "--json"],
        env=environment(database_url=database_url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def generation(engine: AsyncEngine, number: int) -> generations.Generation | None:
    async with engine.connect() as connection:
        found = [g for g in await generations.list_generations(connection) if g.number == number]
    return found[0] if found else None


async def until_at(engine: AsyncEngine, position: int) -> None:
    """Wait until the second generation has passed a position."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await generation(engine, 2)
            if found is not None and found.position > position:
                return
            await asyncio.sleep(0.005)


async def until_filled(engine: AsyncEngine) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await generation(engine, 2)
            if found is not None and found.filled_at is not None:
                return
            await asyncio.sleep(0.005)


async def test_a_rebuild_killed_three_times_resumes_and_makes_the_same_rows(
    engine: AsyncEngine, database_url: str
) -> None:
    total = await load(engine, 32_000)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT stream_id FROM event_store.streams"))
        streams = list(found.scalars())
    await catch_up(engine, streams)
    expected = await dump_all(engine)
    reached = [0]
    for _ in range(2):
        with rebuilding(database_url) as process:
            await until_at(engine, reached[-1])
            process.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(process.wait, PATIENCE) == -signal.SIGKILL
        found_now = await generation(engine, 2)
        assert found_now is not None
        reached.append(found_now.position)
    assert 0 < reached[1] < reached[2] <= total
    async with engine.connect() as holder:
        await holder.execute(text("SELECT FROM spreaview.stream_progress"))  # no switch now
        with rebuilding(database_url) as process:
            await until_filled(engine)
            await asyncio.sleep(1.0)
            refused = await asyncio.to_thread(
                run, "projections", "rebuild", env=environment(database_url=database_url)
            )
            assert (refused.returncode, "is running" in refused.stderr) == (1, True)
            process.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(process.wait, PATIENCE) == -signal.SIGKILL
    async with asyncio.timeout(PATIENCE):
        while True:
            done = await asyncio.to_thread(
                run, "projections", "rebuild", "--json", env=environment(database_url=database_url)
            )
            if "is running" not in done.stderr:  # of the one that was killed a moment ago
                break
    assert done.returncode == 0, done.stderr
    answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert "resuming generation 2" in answer[0]["step"]
    assert (answer[-1]["live"], answer[-1]["parity"]["equal"]) == (2, True)
    assert answer[-1]["parity"]["streams"] == len(streams)
    assert await dump_all(engine) == expected


async def test_a_generation_begun_by_other_code_is_dropped(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    async with engine.begin() as connection:
        await generations.create(connection, number=2, live=False, code_version="older")
    messages: list[str] = []
    done = await rebuild(engine, report_progress=lambda _: None, report_step=messages.append)
    assert (done.live.number, done.live.schema) == (2, "spreaview_g2")
    assert "other code (older)" in messages[0]


async def test_a_generation_begun_before_the_log_was_restored_is_dropped(
    engine: AsyncEngine, log: EventLog
) -> None:
    """Otherwise the new events at positions that were already read would be missing."""
    gone, stream = uuid4(), uuid4()
    await append_sessions(log, gone, 1)
    async with engine.begin() as connection:
        begun = await generations.create(
            connection, number=2, live=False, code_version=CODE_VERSION
        )
    await filling.fill(engine, begun, await log.head(), lambda _: None)
    await change_log(
        engine,
        "DELETE FROM event_store.events WHERE stream_id = :stream",
        "DELETE FROM event_store.streams WHERE stream_id = :stream",
        "SELECT setval('event_store.events_position_seq', 1, false) FROM CAST(:stream AS uuid)",
        stream=gone,
    )
    await append_sessions(log, stream, 1)
    messages: list[str] = []
    await rebuild(engine, report_progress=lambda _: None, report_step=messages.append)
    assert "dropping generation 2, which is ahead of the log" in messages[0]
    assert (await rows(engine, "stream_progress", stream))[0]["version"] == await log.head()
    assert await rows(engine, "stream_progress", gone) == []


async def test_a_process_that_lost_its_generation_to_another_writes_nothing(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    async with engine.begin() as connection:
        begun = await generations.create(connection, number=2, live=False, code_version="ours")
    await filling.fill(engine, begun, 1, lambda _: None)
    with pytest.raises(filling.TakenOverError):
        await filling.fill(engine, begun, 1, lambda _: None)
