"""The commands `projections status`, `retry` and `repair`."""

import asyncio
import json
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from projections.version import CODE_VERSION
from tests.support.processes import environment, run
from tests.support.streams import (
    FIX,
    append_run,
    change_log,
    stopped_stream,
)

pytestmark = pytest.mark.asyncio


async def test_status_retry_and_repair(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    stream = await stopped_stream(engine, log)
    env = environment(database_url=database_url)
    shown = await asyncio.to_thread(run, "projections", "status", "--json", env=env)
    answer = json.loads(shown.stdout)
    assert (shown.returncode, answer["well"], answer["code_version"]) == (1, False, CODE_VERSION)
    assert answer["stopped"][0]["stream_id"] == str(stream)
    retried = await asyncio.to_thread(run, "projections", "retry", "--all", env=env)
    assert (retried.returncode, str(stream) in retried.stdout) == (1, True)
    await change_log(engine, FIX, stream=stream)
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


async def test_the_status_is_not_well_without_a_projector(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    env = environment(database_url=database_url, stuck_seconds="0.001")
    shown = await asyncio.to_thread(run, "projections", "status", env=env)
    assert shown.returncode == 1
    assert f"stuck        {stream}" in shown.stdout
    patient = environment(database_url=database_url)
    assert (await asyncio.to_thread(run, "projections", "status", env=patient)).returncode == 0


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("{server}/postgres", "spreaview-sync migrate"),
        ("postgresql://nobody:s3cret@127.0.0.1:1/none", "SPREAVIEW_DATABASE_URL"),
    ],
    ids=["not migrated", "not there"],
)
async def test_a_database_that_is_not_ready_is_reported_in_a_sentence(
    database_url: str, address: str, remedy: str
) -> None:
    url = address.format(server=database_url.rpartition("/")[0])
    for words in (("status",), ("retry", "--all"), ("repair", "--ahead")):
        done = await asyncio.to_thread(
            run, "projections", *words, env=environment(database_url=url)
        )
        assert done.returncode == 1
        assert remedy in done.stderr
        assert not {"Traceback", "s3cret"} & set(done.stderr.replace(":", " ").split())
