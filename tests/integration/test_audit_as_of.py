"""The read models in memory at a past moment equal the tables of that time."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.read_models import read_models_at
from audit.erasure.erase import erase, lift
from audit.past.moments import Moment, NotInThePastError, after_sync, parse_moment
from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts import identity
from projections.tables import COLUMNS
from tests.support.documents import days, document, talk
from tests.support.evolution import evolve, life
from tests.support.line import ORGANIZATION
from tests.support.past import Past, dumped, in_order

pytestmark = pytest.mark.asyncio


async def tables(past: Past) -> dict[str, list[dict[str, Any]]]:
    return {view: await dumped(past.engine, view, past.event_id) for view in COLUMNS}


async def as_of(past: Past, moment: Moment) -> dict[str, list[dict[str, Any]]]:
    models = await read_models_at(past.log, past.event_id, moment)
    return {view: in_order(rows) for view, rows in models.views().items()}


async def test_the_columns_match_the_public_views(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns "
                "WHERE table_schema = 'spreaview' ORDER BY table_name, ordinal_position"
            )
        )
        public: dict[str, list[str]] = {}
        for view, column in found:
            public.setdefault(view, []).append(column)
    del public["speakers"]  # a view over all events of an organization
    del public["erasures"]  # a view over the answers to erasure requests
    assert {view: list(columns) for view, columns in COLUMNS.items()} == public


@pytest.mark.parametrize("seed", ["a", "b", "c"])
async def test_every_past_state_equals_the_tables_of_that_time(
    engine: AsyncEngine, seed: str
) -> None:
    past = Past(engine, window=conference_window())
    first = conference(f"life {seed}", sessions=25)
    states = life(first, 8, seed=seed)
    documents = [*states, evolve(states[-1], "unannounce", seed=seed), evolve(first, seed=seed)]
    held, times = [], []
    for number, state in enumerate(documents):
        narrowed = days(28, 28) if number == 6 else conference_window()
        await past.imports(encode_conference(state), window=narrowed, allow_removals=100)
        held.append(await tables(past))
        async with engine.connect() as connection:
            times.append((await connection.execute(text("SELECT clock_timestamp()"))).scalar_one())
        await asyncio.sleep(0.002)
    assert any(row["status"] == "withdrawn" for row in held[-2]["sessions"])
    assert {row["status"] for row in held[-1]["sync_runs"]} == {"completed", "failed"}
    for sync_id, time, expected in zip(past.runs, times, held, strict=True):
        assert await as_of(past, await after_sync(past.log, past.event_id, sync_id)) == expected
        assert await as_of(past, Moment(time=time)) == expected
        position = expected["stream_progress"][0]["position"]
        assert await as_of(past, Moment(position=position)) == expected
    # A position within an outcome shows the state before the outcome.
    end = held[0]["stream_progress"][0]["position"]
    for position in range(end - 5, end):
        rows = await as_of(past, Moment(position=position))
        assert rows["sessions"] == []
        assert [run["status"] for run in rows["sync_runs"]] == ["running"]


async def test_an_erased_speaker_is_nameless_at_every_moment(engine: AsyncEngine) -> None:
    past = Past(engine)
    both = document(talk("1"), talk("2", "2026-05-28T10:00:00", speakers=["bob"]))
    await past.imports(both)
    await past.imports(document(talk("1")))
    for key in ("ada", "bob"):
        await erase(engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, key))
        await past.project()
        assert await as_of(past, Moment()) == await tables(past)
    await past.imports(both)
    assert await as_of(past, Moment()) == await tables(past)
    first = await as_of(past, await after_sync(past.log, past.event_id, past.runs[0]))
    assert {row["status"] for row in first["event_speakers"]} == {"imported"}
    assert {row["full_name"] for row in first["event_speakers"]} == {None}


async def test_every_past_status_of_a_speaker_is_that_of_the_tables(engine: AsyncEngine) -> None:
    past, ada = Past(engine), identity.speaker_id(ORGANIZATION, "ada")
    ok = talk("2", "2026-05-28T10:00:00", speakers=["bob"])
    both, without = document(talk("1"), ok), document(ok)
    again = document(talk("1", speakers=["ada", "bob"]), ok)
    held: list[tuple[Moment, str]] = []

    def status_of_ada(rows: list[dict[str, Any]]) -> list[str]:
        return [row["status"] for row in rows if row["sessionize_id"] == "ada"]

    async def note(status: str) -> None:
        await past.project()
        shown = (await tables(past))["event_speakers"]
        assert status_of_ada(shown) == [status]
        held.append((Moment(position=await past.log.head()), status))

    await past.imports(both)
    await note("imported")
    await past.imports(without)
    await note("withdrawn")
    await past.imports(both)
    await note("imported")
    await erase(engine, ORGANIZATION, ada)
    await note("erased")
    await past.imports(again)
    await past.imports(without)
    await note("withdrawn")
    await past.imports(both)  # without data: no stored digest
    await note("erased")
    await lift(engine, ORGANIZATION, ada)
    await past.imports(again)
    await note("imported")
    await erase(engine, ORGANIZATION, ada)
    await note("erased")
    for moment, status in held:
        rows = (await as_of(past, moment))["event_speakers"]
        assert status_of_ada(rows) == [status]
    assert await as_of(past, Moment()) == await tables(past)


async def test_unknown_events_syncs_and_moments_are_reported(engine: AsyncEngine) -> None:
    past, other = Past(engine), Past(engine)
    with pytest.raises(NotInThePastError, match="no SpreaView event"):
        await read_models_at(past.log, past.event_id, Moment())
    await past.imports(b"{}")
    sync_id = await other.imports(b"{}")
    with pytest.raises(NotInThePastError, match="knows no sync"):
        await parse_moment(past.log, past.event_id, str(uuid4()))
    with pytest.raises(NotInThePastError, match="another SpreaView event"):
        await parse_moment(past.log, past.event_id, str(sync_id))
    with pytest.raises(NotInThePastError, match="neither the id of a sync"):
        await parse_moment(past.log, past.event_id, "yesterday")


async def test_a_moment_that_the_log_has_not_reached_is_refused_with_its_head(
    engine: AsyncEngine,
) -> None:
    past = Past(engine)
    await past.imports(document(talk("1")))
    head, now = await past.log.head(), await past.log.clock()
    for moment in (Moment(position=head), Moment(time=now), Moment(position=0)):
        await read_models_at(past.log, past.event_id, moment)
    beyond = rf"Position {head + 1} is beyond the head of the log, which is at {head}. Remedy: "
    with pytest.raises(NotInThePastError, match=beyond):
        await read_models_at(past.log, past.event_id, Moment(position=head + 1))
    with pytest.raises(NotInThePastError, match=r"is in the future: the database's clock shows "):
        await read_models_at(past.log, past.event_id, Moment(time=now + timedelta(hours=1)))
