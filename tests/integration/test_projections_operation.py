"""What may go wrong while streams stop, go on and are repaired, and must not show."""

import asyncio
import json
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import ImportEvent, SpeakerImported
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from projections.projector import Projector, apply_next
from projections.repair import RepairError, repair
from projections.status import StoppedStream, projections_status
from tests.integration.test_projections_upkeep import (
    MEND,
    SPOIL,
    a_stopped_stream,
    applied,
    change_the_past,
    dump,
    sweeping,
)
from tests.integration.test_projectors import COMPLETED, STARTED, append_run
from tests.support.line import rows
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

SPEAKER = next(event for event in samples.EVENTS if isinstance(event, SpeakerImported))
NAME = "Ada Unmistakable"


def a_projector(engine: AsyncEngine, code_version: str = "mine") -> Projector:
    return Projector(engine, sweep_seconds=60, code_version=code_version)


async def two_runs(engine: AsyncEngine, log: EventLog) -> UUID:
    """A stream at version 6, applied."""
    stream = uuid4()
    for number in (1, 2):
        await append_run(log, stream, number)
    await a_projector(engine).catch_up([stream])
    return stream


async def the_stopped(engine: AsyncEngine) -> StoppedStream:
    (stopped,) = (await projections_status(engine)).stopped
    return stopped


@pytest.mark.parametrize(
    "spoil",
    ["data - 'is_top_speaker'", "data || jsonb_build_object('is_top_speaker', '{name}'::text)"],
    ids=["a value is missing", "a value is of another type"],
)
async def test_no_value_of_an_event_is_in_the_error(
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
    await change_the_past(
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


async def test_an_error_is_not_recorded_where_another_projector_has_gone_on(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    await change_the_past(engine, SPOIL, stream=stream)
    original = Projector._stop

    async def late(self: Projector, stream_id: UUID, error: Exception) -> None:
        await change_the_past(engine, MEND, stream=stream)
        await a_projector(engine, "newer").catch_up([stream])
        await original(self, stream_id, error)

    monkeypatch.setattr(Projector, "_stop", late)
    await a_projector(engine, "old").catch_up([stream])
    assert (await projections_status(engine)).is_well
    assert (await rows(engine, "stream_progress", stream))[0]["version"] == 3


async def test_a_try_that_fails_is_never_seen_as_going_on(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream = await a_stopped_stream(engine, log)
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


async def test_a_repair_that_fails_changes_nothing_and_keeps_none_from_theirs(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    good, bad = await two_runs(engine, log), await two_runs(engine, log)
    await change_the_past(engine, SPOIL, stream=bad)
    before = await dump(engine, bad)
    with pytest.raises(RepairError):
        await repair(engine, bad)
    assert await dump(engine, bad) == before
    done = await asyncio.to_thread(
        run,
        *("projections", "repair", str(bad), str(good), "--json"),
        env=environment(database_url=database_url),
    )
    told = {row["spreaview_event_id"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert told[str(good)]["version"] == 6
    assert "name" in told[str(bad)]["error"]
    assert "Traceback" not in done.stderr


async def test_a_repair_goes_page_by_page_beside_a_projector(
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
        await applied(engine, stream, 24)
    seen = await dump(engine, stream)
    await repair(engine, stream)
    assert await dump(engine, stream) == seen


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{server}/postgres", "spreaview-sync migrate"),
        ("postgresql://nobody:s3cret@127.0.0.1:1/none", "SPREAVIEW_DATABASE_URL"),
    ],
    ids=["not migrated", "not there"],
)
async def test_a_database_that_is_not_ready_is_said_in_a_sentence(
    database_url: str, address: str, said: str
) -> None:
    url = address.format(server=database_url.rpartition("/")[0])
    for words in (("status",), ("retry", "--all"), ("repair", "--ahead")):
        done = await asyncio.to_thread(
            run, "projections", *words, env=environment(database_url=url)
        )
        assert done.returncode == 1
        assert said in done.stderr
        assert not {"Traceback", "s3cret"} & set(done.stderr.replace(":", " ").split())
