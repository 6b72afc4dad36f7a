"""A rebuild makes the same rows as the projector, and reports rows that differ."""

import asyncio
import json
import subprocess
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.events import (
    SpeakerErased,
)
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.read import read_outcomes
from projections.generations import GenerationsError
from projections.prepare import prepare
from projections.rebuild import fill as filling
from projections.rebuild import parity
from projections.rebuild.rebuild import (
    generation_summaries,
)
from projections.rebuild.switch import StoppedStreamsError
from projections.version import CODE_VERSION
from tests.support.processes import environment, run
from tests.support.rebuilds import (
    SAMPLES,
    append_runs,
    catch_up,
    dump_all,
    rebuild_quietly,
    rollback_quietly,
)
from tests.support.streams import (
    BREAK,
    change_log,
)

pytestmark = pytest.mark.asyncio


async def test_a_rebuild_makes_the_same_rows_as_the_projector(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = await append_runs(log, streams=6, runs=3)
    await catch_up(engine, streams)
    expected = await dump_all(engine)
    for page in (1, 5, 7, 40, 10_000):  # pages end within outcomes, within runs, and not at all
        monkeypatch.setattr(filling, "FILL_PAGE", page)
        done = await rebuild_quietly(engine)
        assert done.parity is not None
        assert (done.parity.equal, done.parity.streams) == (True, 6)
        assert {table.table for table in done.parity.tables} == set(parity.KEYS)
        assert sum(table.rows[1] for table in done.parity.tables) > 6 * 10
        assert await dump_all(engine) == expected
    assert [g.generation.state for g in await generation_summaries(engine)] == ["old"] * 5 + [
        "live"
    ]
    await prepare(engine)


async def test_outcomes_are_read_whole_for_any_page_size(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=4, runs=2)
    head = await log.head()
    async with engine.connect() as connection:
        for limit in range(1, 30):
            after, positions = 0, []
            while page := await read_outcomes(connection, after, limit=limit):
                assert page[-1].type in ("SyncStarted", "SyncCompleted")
                positions += [event.position for event in page]
                after = page[-1].position
            assert positions == sorted(positions)
            assert (len(positions), positions[-1]) == (4 * 2 * 9, head)


async def test_parity_reports_the_differences_to_rows_of_other_code(
    engine: AsyncEngine, log: EventLog
) -> None:
    streams = await append_runs(log, streams=3, runs=1)
    await catch_up(engine, streams)
    async with engine.begin() as connection:  # as if older code had made it so
        for statement in (
            "UPDATE spreaview_g1.sessions SET title = 'older' WHERE sessionize_id = '1'",
            "DELETE FROM spreaview_g1.rooms WHERE spreaview_event_id = :stream",
            "UPDATE spreaview_g1.event_speakers SET bio = 'older'",
            "ALTER TABLE spreaview_g1.sync_runs DROP COLUMN api_id_masked CASCADE",
        ):
            parameters = {"stream": streams[0]} if ":stream" in statement else {}
            await connection.execute(text(statement), parameters)
    done = await rebuild_quietly(engine, code_version="newer")
    assert done.parity is not None
    assert (done.live.code_version, done.before.code_version) == ("newer", CODE_VERSION)
    assert not done.parity.equal
    tables = {table.table: table for table in done.parity.tables}
    sessions, rooms = tables["sessions"], tables["rooms"]
    assert (sessions.added, sessions.removed, sessions.changed) == (0, 0, 3)
    assert all(row.fields == {"title": ("older", "run 1")} for row in sessions.first)
    assert (rooms.added, rooms.removed, rooms.changed) == (1, 0, 0)
    assert rooms.first[0].key["spreaview_event_id"] == str(streams[0])
    assert tables["event_speakers"].first[0].fields == {"bio": ("(personal)", "(personal)")}
    assert set(tables["sync_runs"].first[0].fields) == {"api_id_masked"}
    assert tables["stream_progress"].equal
    with pytest.raises(GenerationsError, match="tables"):
        await rollback_quietly(engine)


async def stream_that_cannot_be_applied_again(engine: AsyncEngine, log: EventLog) -> UUID:
    """A stream applied in the live generation whose second run cannot be applied again."""
    (stream,) = await append_runs(log, streams=1, runs=2)
    await catch_up(engine, [stream])
    await change_log(engine, f"{BREAK} AND version > 9", stream=stream)
    return stream


async def test_a_newly_stopped_stream_prevents_the_switch_unless_accepted(
    engine: AsyncEngine, log: EventLog
) -> None:
    good = await append_runs(log, streams=3, runs=2)
    broken = await stream_that_cannot_be_applied_again(engine, log)
    with pytest.raises(StoppedStreamsError, match=str(broken)) as refused:
        await rebuild_quietly(engine)
    (stopped,) = refused.value.stopped
    assert (stopped.version, stopped.live_version, stopped.live_stopped) == (10, 18, False)
    assert "name" in stopped.error
    assert [g.generation.state for g in await generation_summaries(engine)] == ["live", "filled"]
    done = await rebuild_quietly(engine, accept_stopped=True)
    assert (done.live.number, [s.stream_id for s in done.stopped]) == (2, [broken])
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT * FROM spreaview.stream_progress"))
        versions = {row.spreaview_event_id: row.version for row in found}
    assert versions == {broken: 10} | dict.fromkeys(good, 18)
    await rollback_quietly(engine)
    with pytest.raises(StoppedStreamsError, match="stopped in generation 2") as refused:
        await rollback_quietly(engine)
    assert "projections drop" not in str(refused.value)
    await rollback_quietly(engine, accept_stopped=True)
    again = await rebuild_quietly(engine)  # stopped in both, at the same version
    assert again.live.number == 3


async def test_an_erased_speaker_has_no_personal_fields_in_a_new_generation(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a page was read before the erasure and is written after it."""
    monkeypatch.setattr(filling, "FILL_PAGE", 1)
    (stream,) = await append_runs(log, streams=1, runs=1)
    speaker = UUID(int=(stream.int + 2) % 2**128)
    erased = replace(SAMPLES[SpeakerErased], spreaview_event_id=stream, speaker_id=speaker)
    await log.append(
        Commit(stream, 9, [NewEvent(uuid4(), erased)])
    )  # the personal data is still there
    await rebuild_quietly(engine)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT status, bio FROM spreaview.event_speakers WHERE speaker_id = :speaker"),
            {"speaker": speaker},
        )
        assert found.one() == ("erased", None)


async def test_rebuild_rollback_generations_and_drop(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    streams = await append_runs(log, streams=2, runs=2)
    await catch_up(engine, streams)
    env = environment(database_url=database_url)

    async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, "projections", *arguments, env=env)

    done = await command("rebuild")
    assert (done.returncode, "generation 2 is live" in done.stdout) == (0, True), done.stderr
    assert "by the same code: equal" in done.stdout
    assert "100.0 %" in done.stderr
    back = await command("rollback", "--json")
    assert json.loads(back.stdout.splitlines()[-1])["live"] == 1
    listed = json.loads((await command("generations", "--json")).stdout)
    assert [(row["number"], row["state"]) for row in listed] == [(1, "live"), (2, "old")]
    assert listed[0]["rows"] == listed[1]["rows"] > 0
    assert "2       old" in (await command("generations")).stdout
    refused = await command("drop", "1")
    assert (refused.returncode, "is live" in refused.stderr) == (1, True)
    assert (await command("drop")).returncode == 2
    assert json.loads((await command("drop", "--all-old", "--json")).stdout) == {"dropped": [2]}
