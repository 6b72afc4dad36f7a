"""A new generation from the log while the old one serves: parity, switch, rollback, endings."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import (
    RoomImported,
    SessionImported,
    SpeakerErased,
    SpeakerImported,
    SyncCompleted,
    SyncStarted,
)
from contracts.identity import session_code
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.read import read_outcomes
from projections import generations
from projections.generations import GenerationsError, prepare
from projections.projector import Projector
from projections.rebuild import fill as filling
from projections.rebuild import parity
from projections.rebuild.rebuild import (
    RebuildResult,
    drop_generations,
    generation_summaries,
    rebuild,
    rollback,
)
from projections.rebuild.switch import StoppedStreamsError
from projections.version import CODE_VERSION
from tests.benchmarks.rebuild import load
from tests.integration.test_projections_upkeep import SPOIL, change_the_past, restore_to, sweeping
from tests.support.line import VIEWS, rows
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment, run

pytestmark = pytest.mark.asyncio

SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}


async def append_run(log: EventLog, stream: UUID, run: int, sessions: int = 3) -> int:
    """A run that renames everything; every id is one of the stream. The version reached."""
    facts: dict[str, Any] = {"sync_id": uuid4(), "spreaview_event_id": stream}
    size = 2 * sessions + 3
    ids = [UUID(int=(stream.int + number) % 2**128) for number in range(1, 2 * sessions + 2)]
    room, speakers, talks = ids[0], ids[1 : sessions + 1], ids[sessions + 1 :]
    outcome = [
        replace(SAMPLES[RoomImported], **facts, room_id=room, name=f"run {run}"),
        *(replace(SAMPLES[SpeakerImported], **facts, speaker_id=s, bio=f"{run}") for s in speakers),
        *(
            replace(
                SAMPLES[SessionImported],
                **facts,
                session_id=talk,
                session_code=session_code(talk),
                sessionize_id=str(number),
                room_id=room,
                title=f"run {run}",
                speaker_ids=tuple(speakers[: 1 + (number + run) % 2]),
            )
            for number, talk in enumerate(talks)
        ),
        replace(SAMPLES[SyncCompleted], **facts),
    ]
    started = replace(SAMPLES[SyncStarted], **facts)
    await log.append(Commit(stream, size * (run - 1), [NewEvent(uuid4(), started)]))
    await log.append(Commit(stream, size * (run - 1) + 1, [NewEvent(uuid4(), e) for e in outcome]))
    return size * run


async def append_runs(log: EventLog, streams: int, runs: int) -> list[UUID]:
    ids = [uuid4() for _ in range(streams)]
    for number in range(1, runs + 1):
        await asyncio.gather(*(append_run(log, stream, number) for stream in ids))
    return ids


async def catch_up(engine: AsyncEngine, streams: list[UUID], code_version: str = "ours") -> None:
    projector = Projector(engine, sweep_seconds=60, code_version=code_version)
    await projector.catch_up(sorted(streams))


async def dump(engine: AsyncEngine) -> dict[str, list[str]]:
    """What all views show."""
    async with engine.connect() as connection:
        return {
            view: sorted(
                (
                    await connection.execute(
                        text(f"SELECT row_to_json(v)::text FROM spreaview.{view} v")
                    )
                ).scalars()
            )
            for view in VIEWS
        }


async def rebuilt(engine: AsyncEngine, **options: Any) -> RebuildResult:
    return await rebuild(
        engine, report_progress=lambda _: None, report_step=lambda _: None, **options
    )


async def rolled_back(engine: AsyncEngine, **options: Any) -> RebuildResult:
    return await rollback(
        engine, report_progress=lambda _: None, report_step=lambda _: None, **options
    )


async def test_a_rebuild_has_the_rows_that_projecting_made(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = await append_runs(log, streams=6, runs=3)
    await catch_up(engine, streams)
    expected = await dump(engine)
    for page in (1, 5, 7, 40, 10_000):  # pages end within outcomes, within runs, and not at all
        monkeypatch.setattr(filling, "FILL_PAGE", page)
        done = await rebuilt(engine)
        assert done.parity is not None
        assert (done.parity.equal, done.parity.streams) == (True, 6)
        assert {table.table for table in done.parity.tables} == set(parity.KEYS)
        assert sum(table.rows[1] for table in done.parity.tables) > 6 * 10
        assert await dump(engine) == expected
    assert [g.generation.state for g in await generation_summaries(engine)] == ["old"] * 5 + [
        "live"
    ]
    await prepare(engine)


async def test_outcomes_are_read_whole_whatever_the_page(
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


async def test_other_code_gets_a_report_of_what_differs(engine: AsyncEngine, log: EventLog) -> None:
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
    done = await rebuilt(engine, code_version="newer")
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
        await rolled_back(engine)


@asynccontextmanager
async def reader(engine: AsyncEngine, faults: list[str]) -> AsyncIterator[None]:
    """Polls the views through prepared statements that are kept; what it should not see."""
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
            faults.append("nothing was seen")

    readers = [asyncio.create_task(read()) for _ in range(2)]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*readers)


async def test_switches_under_load_show_no_error_and_nothing_older(
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
            versions[stream] = await append_run(log, stream, number)
            await asyncio.sleep(0.03)

    with sweeping(*(Projector(engine, sweep_seconds=0.01) for _ in range(2))):
        async with reader(engine, faults):
            writing = [asyncio.create_task(write(stream)) for stream in streams]
            for _ in range(3):
                done_one = await rebuilt(engine)
                assert done_one.parity is not None
                assert done_one.parity.equal
                await rolled_back(engine)
            done.set()
            await asyncio.gather(*writing)
            await shown(engine, versions)
    assert not faults
    live = await dump(engine)
    again = await rebuilt(engine, keep=0)
    assert again.parity is not None
    assert (again.parity.equal, again.parity.streams) == (True, 4)
    assert await dump(engine) == live
    assert len(again.dropped) == 4
    assert [each.generation.number for each in await generation_summaries(engine)] == [5]


async def shown(engine: AsyncEngine, versions: dict[UUID, int]) -> None:
    """Wait until the views show these versions."""
    statement = text("SELECT spreaview_event_id, version FROM spreaview.stream_progress")
    async with asyncio.timeout(PATIENCE):
        while True:
            async with engine.connect() as connection:
                if {row[0]: row[1] for row in await connection.execute(statement)} == versions:
                    return
            await asyncio.sleep(0.02)


async def test_a_reader_that_stays_in_its_transaction_delays_the_switch_only(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    look = text("SELECT version FROM spreaview.stream_progress")
    async with engine.connect() as connection:
        await connection.execute(look)
        rebuilding = asyncio.create_task(rebuilt(engine))
        await asyncio.sleep(1.0)
        assert not rebuilding.done()
        async with engine.connect() as other:
            await asyncio.wait_for(other.execute(look), 5)
        await connection.execute(text("SELECT count(*) FROM spreaview.sync_runs"))
    done = await asyncio.wait_for(rebuilding, PATIENCE)
    assert done.live.number == 2


async def test_a_prepared_statement_that_names_its_columns_outlives_every_switch(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    """An added column breaks a kept `SELECT *` once, within a transaction (operations.md)."""
    await append_runs(log, streams=1, runs=1)
    connection = await asyncpg.connect(database_url)
    try:
        named = await connection.prepare("SELECT version FROM spreaview.stream_progress")
        star = await connection.prepare("SELECT * FROM spreaview.stream_progress")
        assert (await named.fetch(), await star.fetch()) == ([], [])
        await rebuilt(engine)
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


async def test_what_came_meanwhile_is_in_a_generation_that_one_goes_back_to(
    engine: AsyncEngine, log: EventLog
) -> None:
    (stream,) = await append_runs(log, streams=1, runs=1)
    await rebuilt(engine)
    await append_run(log, stream, 2)
    (other,) = await append_runs(log, streams=1, runs=1)
    await catch_up(engine, [stream, other])
    expected = await dump(engine)
    back = await rolled_back(engine)
    assert (back.live.number, back.before.number) == (1, 2)
    assert await dump(engine) == expected
    assert (await rolled_back(engine)).live.number == 2


async def a_spoilt_stream(engine: AsyncEngine, log: EventLog) -> UUID:
    """Applied in the live generation, but cannot be applied again from its second run on."""
    (stream,) = await append_runs(log, streams=1, runs=2)
    await catch_up(engine, [stream])
    await change_the_past(engine, f"{SPOIL} AND version > 9", stream=stream)
    return stream


async def test_a_stream_that_stops_refuses_the_switch_unless_that_is_accepted(
    engine: AsyncEngine, log: EventLog
) -> None:
    good = await append_runs(log, streams=3, runs=2)
    spoilt = await a_spoilt_stream(engine, log)
    with pytest.raises(StoppedStreamsError, match=str(spoilt)) as refused:
        await rebuilt(engine)
    (stopped,) = refused.value.stopped
    assert (stopped.version, stopped.live_version, stopped.live_stopped) == (10, 18, False)
    assert "name" in stopped.error
    assert [g.generation.state for g in await generation_summaries(engine)] == ["live", "filled"]
    done = await rebuilt(engine, accept_stopped=True)
    assert (done.live.number, [s.stream_id for s in done.stopped]) == (2, [spoilt])
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT * FROM spreaview.stream_progress"))
        versions = {row.spreaview_event_id: row.version for row in found}
    assert versions == {spoilt: 10} | dict.fromkeys(good, 18)
    again = await rebuilt(engine)  # stopped in both, at the same version
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
    await rebuilt(engine)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT status, bio FROM spreaview.event_speakers WHERE speaker_id = :speaker"),
            {"speaker": speaker},
        )
        assert found.one() == ("erased", None)


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


async def reaches(engine: AsyncEngine, position: int) -> None:
    """Wait until the second generation stands beyond a position."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await generation(engine, 2)
            if found is not None and found.position > position:
                return
            await asyncio.sleep(0.005)


async def filled(engine: AsyncEngine) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await generation(engine, 2)
            if found is not None and found.filled_at is not None:
                return
            await asyncio.sleep(0.005)


async def test_killed_three_times_it_goes_on_and_comes_to_the_same(
    engine: AsyncEngine, database_url: str
) -> None:
    total = await load(engine, 32_000)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT stream_id FROM event_store.streams"))
        streams = list(found.scalars())
    await catch_up(engine, streams)
    expected = await dump(engine)
    reached = [0]
    for _ in range(2):
        with rebuilding(database_url) as process:
            await reaches(engine, reached[-1])
            process.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(process.wait, PATIENCE) == -signal.SIGKILL
        found_now = await generation(engine, 2)
        assert found_now is not None
        reached.append(found_now.position)
    assert 0 < reached[1] < reached[2] <= total
    async with engine.connect() as holder:
        await holder.execute(text("SELECT FROM spreaview.stream_progress"))  # no switch now
        with rebuilding(database_url) as process:
            await filled(engine)
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
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert "resuming generation 2" in told[0]["step"]
    assert (told[-1]["live"], told[-1]["parity"]["equal"]) == (2, True)
    assert told[-1]["parity"]["streams"] == len(streams)
    assert await dump(engine) == expected


async def test_what_other_code_has_begun_is_dropped_and_begun_anew(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    async with engine.begin() as connection:
        await generations.create(connection, number=2, live=False, code_version="older")
    said: list[str] = []
    done = await rebuild(engine, report_progress=lambda _: None, report_step=said.append)
    assert (done.live.number, done.live.schema) == (2, "spreaview_g2")
    assert "other code (older)" in said[0]


async def test_what_was_begun_before_the_log_was_restored_is_begun_anew(
    engine: AsyncEngine, log: EventLog
) -> None:
    """What the log has now at the positions that were read already would be left out, otherwise."""
    gone, stream = uuid4(), uuid4()
    await append_run(log, gone, 1)
    async with engine.begin() as connection:
        begun = await generations.create(
            connection, number=2, live=False, code_version=CODE_VERSION
        )
    await filling.fill(engine, begun, await log.head(), lambda _: None)
    await change_the_past(
        engine,
        "DELETE FROM event_store.events WHERE stream_id = :stream",
        "DELETE FROM event_store.streams WHERE stream_id = :stream",
        "SELECT setval('event_store.events_position_seq', 1, false) FROM CAST(:stream AS uuid)",
        stream=gone,
    )
    await append_run(log, stream, 1)
    said: list[str] = []
    await rebuild(engine, report_progress=lambda _: None, report_step=said.append)
    assert "dropping generation 2, which is ahead of the log" in said[0]
    assert (await rows(engine, "stream_progress", stream))[0]["version"] == await log.head()
    assert await rows(engine, "stream_progress", gone) == []


async def test_no_one_goes_back_to_what_the_log_does_not_know(
    engine: AsyncEngine, log: EventLog
) -> None:
    (stream,) = await append_runs(log, streams=1, runs=1)
    await catch_up(engine, [stream])
    await rebuilt(engine)
    await restore_to(engine, stream, 1)
    with pytest.raises(GenerationsError, match="is ahead of the log"):
        await rolled_back(engine)


async def test_one_that_lost_its_generation_to_another_process_writes_nothing(
    engine: AsyncEngine, log: EventLog
) -> None:
    await append_runs(log, streams=1, runs=1)
    async with engine.begin() as connection:
        begun = await generations.create(connection, number=2, live=False, code_version="ours")
    await filling.fill(engine, begun, 1, lambda _: None)
    with pytest.raises(filling.TakenOverError):
        await filling.fill(engine, begun, 1, lambda _: None)


async def test_two_at_once_are_refused_and_the_live_one_is_never_dropped(
    engine: AsyncEngine,
) -> None:
    async with generations.maintenance_lock(engine):
        for attempt in (rebuilt(engine), rolled_back(engine), drop_generations(engine, None)):
            with pytest.raises(GenerationsError, match="is running"):
                await attempt
    with pytest.raises(GenerationsError, match="live"):
        await drop_generations(engine, 1)
    with pytest.raises(GenerationsError, match="no generation 7"):
        await drop_generations(engine, 7)
    with pytest.raises(GenerationsError, match="live before"):
        await rolled_back(engine)


async def test_the_commands(engine: AsyncEngine, log: EventLog, database_url: str) -> None:
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
