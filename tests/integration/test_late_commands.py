"""Commands end in time while a table is locked, and name the cause."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.time_limit import STATUS_SECONDS
from messaging.connection import KafkaConnection
from messaging.topics import declare_topics
from tests.support.processes import PATIENCE, environment, run
from tests.support.stalling import stalling

pytestmark = pytest.mark.asyncio

REQUEST = (
    *("request", "--wait", "--timeout", "1", "--api-id", "waiting01"),
    *("--organization-id", str(uuid4()), "--event-id", str(uuid4())),
    *("--from", "2026-06-01", "--to", "2026-06-02", "--time-zone", "Europe/Berlin"),
)
A_LOCK = "answers, but a statement waits: another session may hold a lock that it needs"
MORE_SECONDS = 10.0
"""To start, to look for the cause, and for a machine that is busy with other work."""


@pytest_asyncio.fixture
async def kafka(module_kafka: str) -> AsyncIterator[str]:
    await declare_topics(
        KafkaConnection(module_kafka), partitions=1, replication_factor=1, retention_days=1
    )
    yield module_kafka


@pytest.mark.parametrize(
    ("command", "table", "seconds"),
    [
        (("relay", "status"), "event_store.events", STATUS_SECONDS),
        (("projections", "status"), "event_store.streams", STATUS_SECONDS),
        (REQUEST, "spreaview.sync_runs", 1 + 2),
        (REQUEST, "event_store.events", 1 + STATUS_SECONDS),
    ],
    ids=["relay", "projections", "request", "request-log"],
)
async def test_a_locked_table_ends_the_command_in_time(
    engine: AsyncEngine,
    database_url: str,
    kafka: str,
    command: Sequence[str],
    table: str,
    seconds: float,
) -> None:
    env = environment(database_url=database_url, kafka_bootstrap_servers=kafka)
    async with engine.begin() as connection:
        await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        done = await asyncio.to_thread(run, *command, env=env)
    assert time.monotonic() - began < seconds + MORE_SECONDS
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert f"PostgreSQL at {database_url} {A_LOCK}" in done.stderr
    assert "Remedy: run spreaview-sync doctor" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_database_that_freezes_ends_the_wait(database_url: str, kafka: str) -> None:
    async with stalling(database_url) as stalled:
        env = environment(database_url=stalled.url, kafka_bootstrap_servers=kafka)
        began = time.monotonic()
        running = asyncio.create_task(asyncio.to_thread(run, *REQUEST, "--timeout", "8", env=env))
        async with asyncio.timeout(PATIENCE):
            while not stalled.proxy.has_clients:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await stalled.freeze()
        done = await running
    assert time.monotonic() - began < 8 + STATUS_SECONDS + MORE_SECONDS
    assert done.returncode == 1, done.stderr
    assert f"PostgreSQL at {stalled.url} does not answer" in done.stderr
    assert "Traceback" not in done.stderr
