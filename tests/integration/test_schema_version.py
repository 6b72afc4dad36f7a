"""Every process compares the schema version of the database with its own before it begins."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import Addresses, database
from cli.services import Role, running
from cli.settings import Settings
from eventstore.log import EventLog
from eventstore.schema_version import MIGRATIONS, NEEDED, REVISIONS
from messaging import backoff
from messaging.connection import KafkaConnection
from tests.support.ports import free_port
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

BEFORE = REVISIONS[-2]
SET_VERSION = text("UPDATE event_store.schema_version SET version_num = :version")
SOME_ID = "0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b"
PATIENCE = 40.0


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


async def set_version(engine: AsyncEngine, version: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(SET_VERSION, {"version": version})


@pytest_asyncio.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that was never migrated."""
    server, name = postgres_url.rpartition("/")[0], f"empty_{uuid4().hex}"
    async with database(f"{server}/postgres", pool_size=1) as engine, engine.connect() as own:
        await own.execution_options(isolation_level="AUTOCOMMIT")
        await own.execute(text(f"CREATE DATABASE {name}"))
        yield f"{server}/{name}"
        await own.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_the_known_versions_are_those_of_alembic_in_their_order() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert [each.revision for each in reversed(list(script.walk_revisions()))] == REVISIONS
    assert script.get_current_head() == NEEDED


@pytest.mark.parametrize(
    "words",
    [("history", SOME_ID), ("projections", "status"), ("relay", "status"), ("verify",)],
    ids=" ".join,
)
async def test_a_command_on_an_older_database_names_migrate(
    engine: AsyncEngine, database_url: str, words: tuple[str, ...]
) -> None:
    await set_version(engine, BEFORE)
    env = environment(database_url=database_url, kafka_bootstrap_servers="127.0.0.1:1")
    done = await asyncio.to_thread(run, *words, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"at schema version {BEFORE}, and this program needs {NEEDED}" in done.stderr
    assert done.stderr.endswith("run: spreaview-sync migrate\n")


@pytest.mark.parametrize("words", [("worker",), ("projector",), ("migrate",), ("export",)])
async def test_a_program_that_is_older_than_the_database_ends_with_a_sentence(
    engine: AsyncEngine, database_url: str, words: tuple[str, ...]
) -> None:
    await set_version(engine, "9999")
    env = environment(database_url=database_url, kafka_bootstrap_servers="127.0.0.1:1")
    done = await asyncio.to_thread(run, *words, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("spreaview-sync: ")]
    assert "this program is older than the database" in sentence
    assert "9999" in sentence
    assert "Traceback" not in done.stderr


async def test_migrate_reports_from_which_version_to_which(empty_url: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)

    async with database(empty_url, pool_size=1) as engine, engine.begin() as connection:
        await connection.run_sync(upgrade)
    env = environment(database_url=empty_url)

    migrated = await asyncio.to_thread(run, "migrate", env=env)
    again = await asyncio.to_thread(run, "migrate", env=env)
    as_json = await asyncio.to_thread(run, "migrate", "--json", env=env)

    assert f"migrated from {BEFORE} to {NEEDED}" in migrated.stdout
    assert f"is up to date at {NEEDED}" in again.stdout
    assert json.loads(as_json.stdout) == {"migrated": True, "from": NEEDED, "to": NEEDED}


async def test_migrate_reports_that_a_database_was_empty(empty_url: str) -> None:
    done = await asyncio.to_thread(
        run, "migrate", "--json", env=environment(database_url=empty_url)
    )
    assert json.loads(done.stdout) == {"migrated": True, "from": None, "to": NEEDED}


@pytest.mark.parametrize("role", [Role.WORKER, Role.PROJECTOR])
async def test_a_service_waits_for_an_older_database_and_names_migrate(
    role: Role,
    engine: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await set_version(engine, BEFORE)
    port = free_port()
    settings = Settings(health_port=port, health_period_seconds=0.1, data_dir=tmp_path)
    nowhere = KafkaConnection(f"127.0.0.1:{free_port()}")

    async def serve() -> None:
        async with running(role, settings, Addresses(database_url, nowhere, "http://127.0.0.1:1")):
            await asyncio.Event().wait()

    looked = asyncio.Event()
    head = EventLog.head

    async def look(log: EventLog) -> int:
        looked.set()
        return await head(log)

    monkeypatch.setattr(EventLog, "head", look)
    monkeypatch.setattr(backoff, "_failing", {})  # a new process has logged nothing yet
    caplog.set_level(logging.INFO)
    serving = asyncio.create_task(serve())
    try:
        waiting = await postgresql_until(port, ok=False)
        assert f"at schema version {BEFORE}" in waiting
        assert "run: spreaview-sync migrate" in waiting
        assert not serving.done()
        assert any("run: spreaview-sync migrate" in r.getMessage() for r in caplog.records)
        await set_version(engine, NEEDED)
        await postgresql_until(port, ok=True)
        await asyncio.wait_for(looked.wait(), PATIENCE)  # the service has passed the check
        # Now a newer program migrates, while this one runs.
        await set_version(engine, "9999")
        for _ in range(2):  # the end of the second look is known to be after the first
            looked.clear()
            await asyncio.wait_for(looked.wait(), PATIENCE)
        assert (await components(port))["PostgreSQL"]["ok"]
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def components(port: int) -> dict[str, dict[str, object]]:
    async with httpx.AsyncClient() as client:
        ready = await client.get(f"http://127.0.0.1:{port}/ready")
    found: dict[str, dict[str, object]] = ready.json()["components"]
    return found


async def postgresql_until(port: int, *, ok: bool) -> str:
    """Wait until PostgreSQL is well, or is not; return the detail."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                found = (await components(port)).get("PostgreSQL")
            except httpx.HTTPError:
                found = None
            if found is not None and found["ok"] == ok:
                return str(found.get("detail") or "")
            await asyncio.sleep(0.05)
