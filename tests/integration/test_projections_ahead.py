"""The log was restored, and the read models were not."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.projector import Projector
from projections.repair import repair
from projections.status import projections_status
from tests.integration.test_projections_operation import a_projector, the_stopped, two_runs
from tests.integration.test_projections_upkeep import PATIENCE, dump, restore_to, sweeping
from tests.integration.test_projectors import append_run
from tests.support.line import rows

pytestmark = pytest.mark.asyncio


async def swept_once(projector: Projector, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whole sweep, with its look for what is ahead."""
    ended = asyncio.Event()

    async def end(_: float) -> None:
        ended.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched, sweeping(projector):
        patched.setattr("projections.projector.asyncio.sleep", end)
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_nothing_is_applied_to_rows_that_the_log_does_not_know(
    engine: AsyncEngine, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The log is restored and has grown beyond what was applied before a projector looks."""
    stream, other = await two_runs(engine, log), uuid4()
    await restore_to(engine, stream, 3)
    for number in (2, 3, 4):
        await append_run(log, stream, number)
    await append_run(log, other, 1)
    before = await dump(engine, stream)
    await a_projector(engine).catch_up(sorted([stream, other]))
    assert await dump(engine, stream) == before
    assert (await rows(engine, "stream_progress", other))[0]["version"] == 3
    assert "repair --ahead" in (await the_stopped(engine)).error
    assert caplog.text.count("repair --ahead") == 1

    await repair(engine, stream)
    assert (await projections_status(engine)).is_well
    assert len(await rows(engine, "sync_runs", stream)) == 4


async def test_every_restore_is_noticed_not_only_the_first(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, projector = await two_runs(engine, log), a_projector(engine)
    for _ in range(2):
        await restore_to(engine, stream, 3)
        await swept_once(projector, monkeypatch)
        assert (await the_stopped(engine)).stream_id == stream
        await repair(engine, stream)
        await append_run(log, stream, 2)
        await projector.catch_up([stream])
        assert (await projections_status(engine)).is_well


async def test_a_projector_that_starts_says_what_is_ahead_and_does_not_try_it(
    engine: AsyncEngine,
    log: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = await two_runs(engine, log)
    await restore_to(engine, stream, 3)
    await swept_once(a_projector(engine, "old"), monkeypatch)
    stopped = await the_stopped(engine)
    caplog.clear()
    await swept_once(a_projector(engine, "new"), monkeypatch)
    assert await the_stopped(engine) == stopped
    assert caplog.text.count("repair --ahead") == 1
    assert "trying to resume" not in caplog.text


async def test_a_stream_that_others_have_repaired_is_not_stopped_by_an_old_finding(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await two_runs(engine, log)
    await restore_to(engine, stream, 3)
    original = Projector.catch_up

    async def later(self: Projector, stream_ids: list[UUID]) -> None:
        if stream_ids:
            await repair(engine, stream)
        await original(self, stream_ids)

    monkeypatch.setattr(Projector, "catch_up", later)
    await swept_once(a_projector(engine), monkeypatch)
    assert (await projections_status(engine)).is_well
