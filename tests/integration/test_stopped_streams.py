"""A stream stops at an event that cannot be applied, is reported, and can be resumed."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import (
    ImportEvent,
    SpeakerImported,
)
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from projections.projector import Projector
from projections.status import projections_status
from tests.support.line import rows
from tests.support.processes import PATIENCE, environment, run
from tests.support.streams import (
    BREAK,
    COMPLETED,
    FIX,
    STARTED,
    a_projector,
    append_run,
    change_log,
    stopped_stream,
    sweeping,
    the_stopped,
    until_applied,
)

pytestmark = pytest.mark.asyncio


SPEAKER = next(event for event in samples.EVENTS if isinstance(event, SpeakerImported))


NAME = "Ada Unmistakable"


async def test_an_event_that_cannot_be_applied_stops_only_its_stream(
    engine: AsyncEngine, log: EventLog
) -> None:
    good, bad = uuid4(), uuid4()
    for stream in (good, bad):
        await append_run(log, stream, 1)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_store.events DISABLE TRIGGER USER"))
        await connection.execute(
            text("""
                UPDATE event_store.events SET data = data - 'name'
                WHERE stream_id = :bad AND type = 'RoomImported'
            """),
            {"bad": bad},
        )
    await Projector(engine, sweep_seconds=60).catch_up(sorted([good, bad]))
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT spreaview_event_id, version, error FROM spreaview_g1.stream_progress")
        )
        progress = {row.spreaview_event_id: (row.version, row.error) for row in found}
    assert progress[good] == (3, None)
    assert progress[bad][0] == 0
    assert "name" in progress[bad][1]


async def test_the_status_names_the_event_that_stopped_a_stream(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = await stopped_stream(engine, log)
    status = await projections_status(engine)
    assert not status.is_well
    (stopped,) = status.stopped
    room = (await log.read_all(0))[1]
    assert (stopped.stream_id, stopped.version, stopped.behind) == (stream, 0, 3)
    assert (stopped.position, stopped.type) == (room.position, "RoomImported")
    assert (status.lag.streams, status.events_behind) == (0, 0), "nothing else waits"
    assert stopped.code_version == "old"
    assert "name" in stopped.error


@pytest.mark.parametrize(
    "spoil",
    ["data - 'is_top_speaker'", "data || jsonb_build_object('is_top_speaker', '{name}'::text)"],
    ids=["a value is missing", "a value is of another type"],
)
async def test_the_error_contains_no_values_of_the_event(
    engine: AsyncEngine,
    log: EventLog,
    database_url: str,
    spoil: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = uuid4()
    facts: dict[str, Any] = {"sync_id": uuid4(), "spreaview_event_id": stream}
    speaker = replace(SPEAKER, **facts, full_name=NAME)
    events: list[ImportEvent] = [replace(STARTED, **facts), speaker, replace(COMPLETED, **facts)]
    await log.append(Commit(stream, 0, [NewEvent(uuid4(), event) for event in events]))
    await change_log(
        engine,
        f"UPDATE event_store.events SET data = {spoil.format(name=NAME)} "
        "WHERE stream_id = :stream AND type = 'SpeakerImported'",
        stream=stream,
    )
    await a_projector(engine).catch_up([stream])
    stopped = await the_stopped(engine)
    env = environment(database_url=database_url)
    repaired = await asyncio.to_thread(run, "projections", "repair", str(stream), env=env)
    assert stopped.type == "SpeakerImported"
    assert repaired.returncode == 1
    assert "Remedy" in repaired.stderr
    assert NAME not in stopped.error + caplog.text + repaired.stdout + repaired.stderr


async def test_resuming_continues_fixed_streams_and_stops_the_others_again(
    engine: AsyncEngine, log: EventLog
) -> None:
    mended, broken = await stopped_stream(engine, log), await stopped_stream(engine, log)
    await change_log(engine, FIX, stream=mended)
    resumed = await Projector(engine, sweep_seconds=60).resume(None)
    (stopped,) = (await projections_status(engine)).stopped
    assert stopped.stream_id == broken
    assert resumed == sorted([(mended, None), (broken, stopped.error)])
    assert (await rows(engine, "rooms", mended))[0]["name"] == "run 1"


async def test_other_code_tries_to_resume_a_stream_once(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions side by side, as in a rolling update, do not retry in turns."""
    stream = await stopped_stream(engine, log)
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
            await until_applied(engine, healthy, 3 * version)
        assert tries == ["new", "old"]
        await change_log(engine, FIX, stream=stream)
    newer = Projector(engine, sweep_seconds=0.02, code_version="newer")
    with sweeping(newer):
        await until_applied(engine, stream, 3)


async def test_no_error_is_recorded_if_another_projector_has_applied_the_events(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    await change_log(engine, BREAK, stream=stream)
    original = Projector._stop

    async def late(self: Projector, stream_id: UUID, error: Exception) -> None:
        await change_log(engine, FIX, stream=stream)
        await a_projector(engine, "newer").catch_up([stream])
        await original(self, stream_id, error)

    monkeypatch.setattr(Projector, "_stop", late)
    await a_projector(engine, "old").catch_up([stream])
    assert (await projections_status(engine)).is_well
    assert (await rows(engine, "stream_progress", stream))[0]["version"] == 3


async def test_a_failed_attempt_never_shows_the_stream_as_resumed(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = await stopped_stream(engine, log)
    tried = asyncio.Event()
    going_on = 0

    async def watch() -> None:
        nonlocal going_on
        statement = text("SELECT count(*) FROM spreaview_g1.stream_progress WHERE error IS NULL")
        while not tried.is_set():
            async with engine.connect() as connection:
                going_on += (await connection.execute(statement)).scalar_one()

    watching = asyncio.create_task(watch())
    for number in range(20):
        (resumed,) = await a_projector(engine, f"code {number}").resume(None)
        assert (resumed.stream_id, resumed.error is None) == (stream, False)
    tried.set()
    await watching
    assert going_on == 0
    assert (await the_stopped(engine)).code_version == "code 19"
