"""Streams that are ahead of a restored log are stopped, and a repair removes the extra rows."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.projector import Projector
from projections.repair import repair
from projections.status import projections_status
from tests.support.line import rows
from tests.support.processes import PATIENCE
from tests.support.streams import (
    a_projector,
    append_run,
    change_log,
    dump,
    restore_to,
    sweeping,
    the_stopped,
    two_runs,
)

pytestmark = pytest.mark.asyncio


async def one_sweep(projector: Projector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one sweep, including its check for streams ahead of the log."""
    ended = asyncio.Event()

    async def end(_: float) -> None:
        ended.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched, sweeping(projector):
        patched.setattr("projections.projector.asyncio.sleep", end)
        await asyncio.wait_for(ended.wait(), PATIENCE)


@pytest.mark.parametrize("grown", [False, True])
async def test_a_stream_ahead_of_a_restored_log_is_stopped_and_can_be_repaired(
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


async def test_repairing_a_stream_unknown_to_the_log_removes_its_rows(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    await Projector(engine, sweep_seconds=60).catch_up([stream])
    await change_log(
        engine,
        "DELETE FROM event_store.events WHERE stream_id = :stream",
        "DELETE FROM event_store.streams WHERE stream_id = :stream",
        stream=stream,
    )
    assert len((await projections_status(engine)).ahead) == 1
    repaired = await repair(engine, stream)
    assert (repaired.version, set(repaired.after.values())) == (0, {0})
    assert (await projections_status(engine)).is_well


async def test_no_event_is_applied_to_a_stream_that_is_ahead(
    engine: AsyncEngine, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The restored log has grown past the applied version before a projector checks it."""
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


async def test_every_restore_is_detected_not_only_the_first(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, projector = await two_runs(engine, log), a_projector(engine)
    for _ in range(2):
        await restore_to(engine, stream, 3)
        await one_sweep(projector, monkeypatch)
        assert (await the_stopped(engine)).stream_id == stream
        await repair(engine, stream)
        await append_run(log, stream, 2)
        await projector.catch_up([stream])
        assert (await projections_status(engine)).is_well


async def test_a_starting_projector_reports_streams_ahead_without_resuming_them(
    engine: AsyncEngine,
    log: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = await two_runs(engine, log)
    await restore_to(engine, stream, 3)
    await one_sweep(a_projector(engine, "old"), monkeypatch)
    stopped = await the_stopped(engine)
    caplog.clear()
    await one_sweep(a_projector(engine, "new"), monkeypatch)
    assert await the_stopped(engine) == stopped
    assert caplog.text.count("repair --ahead") == 1
    assert "trying to resume" not in caplog.text


async def test_a_repair_after_the_check_keeps_the_stream_from_being_stopped(
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
    await one_sweep(a_projector(engine), monkeypatch)
    assert (await projections_status(engine)).is_well
