"""A role without rights learns which right it lacks, and nothing else."""

import asyncio
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import leader_connection
from eventstore.leadership import Leadership
from eventstore.log import EventLog
from eventstore.wakeup import WakeUp
from tests.support.documents import document, talk
from tests.support.line import ORGANIZATION
from tests.support.past import Past
from tests.support.processes import environment, run
from tests.support.streams import stopped_stream, the_stopped

pytestmark = pytest.mark.asyncio

VERSION = (
    "GRANT USAGE ON SCHEMA event_store TO {role}",
    "GRANT SELECT ON event_store.schema_version TO {role}",
)
EVENTS = (*VERSION, "GRANT SELECT ON event_store.events, event_store.streams TO {role}")
LOG = (*VERSION, "GRANT SELECT ON ALL TABLES IN SCHEMA event_store TO {role}")
WRITES = (
    *("GRANT USAGE ON SCHEMA event_store, projections TO {role}",),
    *("GRANT ALL ON ALL TABLES IN SCHEMA event_store, projections TO {role}",),
)
READS = (
    *LOG,
    "GRANT USAGE ON SCHEMA projections, spreaview_g1 TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA projections, spreaview_g1 TO {role}",
)
ERASE = (*("erase-speaker", "--yes", "--organization-id", str(ORGANIZATION), "--speaker", "ada"),)


async def a_role(engine: AsyncEngine, url: str, grants: tuple[str, ...]) -> str:
    """The address for a new role with these rights."""
    role = f"role_{uuid4().hex}"
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        for grant in grants:
            await connection.execute(text(grant.format(role=role)))
    return url.replace("//postgres@", f"//{role}@")


@pytest.mark.parametrize(
    ("grants", "command", "lacking"),
    [
        ((), ("history",), "USAGE ON SCHEMA event_store"),
        ((), ("verify",), "USAGE ON SCHEMA event_store"),
        (VERSION, ("history",), "SELECT ON event_store.streams"),
        (VERSION, ("export",), "SELECT ON event_store.events"),
        (EVENTS, ("export",), "SELECT ON event_store.log"),
        (EVENTS, ERASE, "SELECT ON event_store.erased_subjects"),
        (LOG, ("projections", "status"), "USAGE ON SCHEMA projections"),
        (LOG, ERASE, "USAGE ON SCHEMA projections"),
        (WRITES, ERASE, "USAGE ON SCHEMA spreaview_g1"),
        (WRITES, ("projections", "status"), "USAGE ON SCHEMA spreaview_g1"),
        (WRITES, ("projections", "repair", str(uuid4())), "USAGE ON SCHEMA spreaview_g1"),
    ],
    ids=lambda value: value.split()[-1] if isinstance(value, str) else "",
)
async def test_the_right_that_a_role_lacks_is_named(
    engine: AsyncEngine,
    database_url: str,
    grants: tuple[str, ...],
    command: tuple[str, ...],
    lacking: str,
) -> None:
    await Past(engine).imports(document(talk("1")))
    env = environment(database_url=await a_role(engine, database_url, grants))
    done = await asyncio.to_thread(run, *command, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the role lacks {lacking}" in done.stderr
    assert "deploy/roles.sql" in done.stderr
    assert "not migrated" not in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_retry_by_a_role_that_only_reads_ends_and_leaves_the_stream_stopped(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    await stopped_stream(engine, log)
    stopped = await the_stopped(engine)
    env = environment(database_url=await a_role(engine, database_url, READS))
    done = await asyncio.to_thread(run, "projections", "retry", "--all", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "refuses: permission denied for table stream_progress\nRemedy: " in done.stderr
    assert (await the_stopped(engine)).error == stopped.error


async def test_a_refused_rewind_ends_with_its_sentence_alone(
    engine: AsyncEngine, database_url: str, module_kafka: str
) -> None:
    await Past(engine).imports(document(talk("1")))
    env = environment(
        database_url=await a_role(engine, database_url, LOG),
        kafka_bootstrap_servers=module_kafka,
        kafka_transactions="false",
    )
    leadership = Leadership(partial(leader_connection, database_url))
    async with leadership.leading(WakeUp(1.0)):
        done = await asyncio.to_thread(run, "relay", "rewind", "--to", "0", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    refusal, remedy = done.stderr.splitlines()
    assert "permission denied to terminate process" in refusal
    assert remedy.startswith("Remedy: ")
