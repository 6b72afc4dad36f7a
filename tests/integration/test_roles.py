"""Each role of `deploy/roles.sql` does its job, on a database of the owner, and nothing else."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from subprocess import CompletedProcess
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import Addresses, database
from cli.sandbox.conference import conference_window
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import run_ended
from contracts.codec import PERSONAL_FIELDS
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from projections.projector import Projector
from projections.queries import Queries
from tests.support.documents import document, talk
from tests.support.line import PATIENCE, a_request
from tests.support.past import Past
from tests.support.processes import environment, run
from tests.support.roles import ROLES, grant_roles, logins
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import sessionize_double

pytestmark = pytest.mark.asyncio

READ, ADD = {"SELECT"}, {"SELECT", "INSERT"}
CHANGE, ALL = {"SELECT", "INSERT", "UPDATE"}, {"SELECT", "INSERT", "UPDATE", "DELETE"}
TABLES = (
    *("stream_progress", "sync_runs", "rooms", "event_speakers", "sessions"),
    *("session_speakers", "skipped_sessions"),
)
VIEWS = (*TABLES, "speakers", "erasures")

RIGHTS: Mapping[str, Mapping[str, set[str]]] = {
    "worker": {
        "event_store.schema_version": READ,
        "event_store.confirmed_places": READ,
        "event_store.log": READ,
        "event_store.erased_subjects": ADD,
        "event_store.erasures": ADD,
        "event_store.events": ADD,
        "event_store.inbox": ADD,
        "event_store.personal_data": {"SELECT", "INSERT", "DELETE"},
        "event_store.streams": CHANGE,
        "event_store.snapshots": ALL,
        "event_store.checkpoints": CHANGE,
        "event_store.sources": {"SELECT", "INSERT", "DELETE"},
        "event_store.unpublished": ALL,
    },
    "projector": {
        "event_store.schema_version": READ,
        "event_store.confirmed_places": READ,
        "event_store.events": READ,
        "event_store.streams": READ,
        "event_store.personal_data": READ,
        "event_store.erased_subjects": READ,
        "projections.generations": READ,
        **{f"spreaview_g1.{table}": ALL for table in TABLES},
    },
    "reader": {
        "event_store.schema_version": READ,
        **{f"spreaview.{view}": READ for view in VIEWS},
    },
    "auditor": {
        "event_store.schema_version": READ,
        "event_store.confirmed_places": READ,
        "event_store.events": READ,
        "event_store.streams": READ,
        "event_store.inbox": READ,
        "event_store.personal_data": READ,
        "event_store.sources": READ,
        "event_store.snapshots": READ,
        "event_store.checkpoints": READ,
        "event_store.unpublished": READ,
        "event_store.erased_subjects": READ,
        "event_store.erasures": READ,
        "projections.generations": READ,
        **{f"spreaview.{view}": READ for view in VIEWS},
        **{f"spreaview_g1.{table}": READ for table in TABLES},
    },
}
RIGHTS = {**RIGHTS, "api": RIGHTS["auditor"]}
COLUMNS = {
    "projector": {("event_store.log", "log_id", "SELECT")},
    "worker": {
        ("event_store.sources", "kept_at", "UPDATE"),
        ("projections.generations", "number", "SELECT"),
        ("projections.generations", "schema", "SELECT"),
        ("spreaview_g1.event_speakers", "organization_id", "SELECT"),
        ("spreaview_g1.event_speakers", "spreaview_event_id", "SELECT"),
        ("spreaview_g1.event_speakers", "speaker_id", "SELECT"),
        *(
            ("spreaview_g1.event_speakers", column, "UPDATE")
            for column in (*PERSONAL_FIELDS["SpeakerImported"], "status")
        ),
    },
    "auditor": {
        ("event_store.log", "log_id", "SELECT"),
        ("event_store.log", "created_at", "SELECT"),
    },
    "api": {
        ("event_store.log", "log_id", "SELECT"),
        ("event_store.log", "created_at", "SELECT"),
        ("event_store.log", "fingerprint_key", "SELECT"),
    },
}
"""Rights on single columns, beyond those on the table."""

TABLE_RIGHTS = text("""
    SELECT format('%s.%s', n.nspname, c.relname) AS name, privilege
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
             AS privilege
    WHERE c.relkind IN ('r', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\\_%'
      AND has_schema_privilege(:role, n.oid, 'USAGE')
      AND has_table_privilege(:role, c.oid, privilege)
""")

COLUMN_RIGHTS = text("""
    SELECT format('%s.%s', n.nspname, c.relname) AS name, a.attname, privilege
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
    WHERE c.relkind IN ('r', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\\_%'
      AND has_schema_privilege(:role, n.oid, 'USAGE')
      AND has_column_privilege(:role, c.oid, a.attname, privilege)
      AND NOT has_table_privilege(:role, c.oid, privilege)
""")

MAY_CREATE = text("""
    SELECT nspname FROM pg_namespace WHERE has_schema_privilege(:role, oid, 'CREATE')
""")


@pytest_asyncio.fixture
async def urls(database_url: str) -> Mapping[str, str]:
    return await logins(database_url)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_the_rights_of_its_job_and_no_others(
    role: str, engine: AsyncEngine, database_url: str
) -> None:
    await grant_roles(database_url)
    await grant_roles(database_url)  # it may be run again
    of = {"role": f"spreaview_{role}"}
    found: dict[str, set[str]] = {}
    async with engine.connect() as connection:
        for row in await connection.execute(TABLE_RIGHTS, of):
            found.setdefault(row.name, set()).add(row.privilege)
        columns = {tuple(row) for row in await connection.execute(COLUMN_RIGHTS, of)}
        schemas = list((await connection.execute(MAY_CREATE, of)).scalars())
    assert found == RIGHTS[role]
    assert columns == COLUMNS.get(role, set())
    assert schemas == []


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("worker", "UPDATE event_store.events SET type = 'x'"),
        ("worker", "DELETE FROM event_store.events"),
        ("worker", "DELETE FROM event_store.erased_subjects"),
        ("worker", "UPDATE event_store.erasures SET status = 'done'"),
        ("worker", "SELECT bio FROM spreaview_g1.event_speakers"),
        ("worker", "UPDATE spreaview_g1.sync_runs SET requested_by = NULL"),
        ("worker", "UPDATE event_store.sources SET body = ''"),
        ("worker", "SELECT FROM spreaview.sessions"),
        ("projector", "INSERT INTO event_store.events DEFAULT VALUES"),
        ("projector", "SELECT FROM event_store.sources"),
        ("projector", "SELECT fingerprint_key FROM event_store.log"),
        ("projector", "UPDATE projections.generations SET live = false"),
        ("projector", "DROP TABLE spreaview_g1.rooms"),
        ("reader", "SELECT FROM event_store.events"),
        ("reader", "SELECT FROM spreaview_g1.sync_runs"),
        ("reader", "DELETE FROM spreaview.sessions"),
        ("auditor", "SELECT fingerprint_key FROM event_store.log"),
        ("auditor", "DELETE FROM event_store.inbox"),
        ("auditor", "UPDATE spreaview_g1.rooms SET name = 'x'"),
    ],
)
async def test_a_role_is_refused_what_is_not_its_job(
    role: str, statement: str, urls: Mapping[str, str]
) -> None:
    async with database(urls[role], pool_size=1) as own, own.connect() as connection:
        with pytest.raises(ProgrammingError) as refused:
            await connection.execute(text(statement))
    assert getattr(refused.value.orig, "sqlstate", None) == "42501"


async def test_worker_projector_and_reader_import_a_conference(
    own_kafka: str, urls: Mapping[str, str]
) -> None:
    kafka = KafkaConnection(own_kafka)
    settings = Settings(
        database_pool=4,
        relay_poll_seconds=0.2,
        sweep_seconds=0.5,
        snapshot_events=1,
        seal_seconds=1,
    )
    async with (
        sessionize_double(Documents()) as double,
        producing(kafka) as producer,
        database(urls["reader"], pool_size=2) as reader,
        database(urls["worker"], pool_size=2) as worker,
    ):
        at = Addresses(urls["worker"], kafka, double.base_url, False)
        async with (
            running(Role.WORKER, settings, at),
            running(Role.PROJECTOR, settings, at._replace(database_url=urls["projector"])),
        ):
            event_id = uuid4()
            for _ in range(2):  # the second one replaces the snapshot and keeps the document
                request = a_request("demo2026", conference_window(), event_id=event_id)
                await publish_request(producer, request)
                row = await run_ended(Queries(reader), request.request_id, PATIENCE)
                assert row["status"] == "completed"
            assert await Queries(reader).timetable(event_id)
            env = environment(
                database_url=urls["worker"],
                kafka_bootstrap_servers=own_kafka,
                kafka_transactions="false",
            )
            async with asyncio.timeout(PATIENCE):
                while (await run_in_thread("relay", "status", env=env)).returncode:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            for role in ("auditor", "api"):
                report = await run_in_thread(
                    "status", env={**env, "SPREAVIEW_DATABASE_URL": urls[role]}
                )
                assert "refuses" not in report.stdout, role
            rewound = await run_in_thread("relay", "rewind", "--to", "0", env=env)
            assert rewound.returncode == 0, rewound.stderr
            assert await EventLog(worker).prune_sources(timedelta(0)) == 1


async def test_a_projector_reports_retries_and_repairs(
    engine: AsyncEngine, urls: Mapping[str, str]
) -> None:
    past = Past(engine)
    await past.imports(document(talk("1")))
    env = environment(database_url=urls["projector"])
    for words in (("status",), ("retry", "--all"), ("repair", str(past.event_id))):
        done = await run_in_thread("projections", *words, env=env)
        assert (done.returncode, done.stderr) == (0, ""), words


async def test_an_auditor_runs_every_command_that_only_reads(
    engine: AsyncEngine, urls: Mapping[str, str]
) -> None:
    past = Past(engine)
    first = str(await past.imports(document(talk("1"), talk("2", room=8))))
    second = str(await past.imports(document(talk("1", title="New"))))
    event = str(past.event_id)
    env = environment(database_url=urls["auditor"])
    for words in (
        ("history", event),
        ("explain", event, "new"),
        ("diff", event, first, second),
        ("as-of", event, "--sync", first),
        ("source", "show", first),
        ("reimport", event, "--dry-run"),
        ("export",),
        ("projections", "status"),
        ("projections", "generations"),
        ("verify",),
    ):
        done = await run_in_thread(*words, env=env)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert "cannot read" not in done.stdout, words


async def test_a_missing_right_is_waited_for_and_stops_no_stream(
    engine: AsyncEngine, urls: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    past = Past(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text("REVOKE INSERT ON spreaview_g1.rooms FROM spreaview_projector")
        )
    await past.imports(document(talk("1")))
    async with engine.begin() as connection:
        for table in TABLES:
            await connection.execute(text(f"DELETE FROM spreaview_g1.{table}"))
    async with database(urls["projector"], pool_size=2) as own:
        catching_up = asyncio.create_task(
            Projector(own, sweep_seconds=60).catch_up([past.event_id])
        )
        async with asyncio.timeout(PATIENCE):
            while "permission denied for table rooms" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not catching_up.done()
        async with engine.begin() as connection:
            await connection.execute(
                text("GRANT INSERT ON spreaview_g1.rooms TO spreaview_projector")
            )
        await asyncio.wait_for(catching_up, PATIENCE)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT version > 0 AND error IS NULL FROM spreaview_g1.stream_progress")
        )
        assert found.scalar_one()


async def test_an_owner_needs_to_be_no_superuser(postgres_url: str) -> None:
    owner = f"owner_{uuid4().hex}"
    server = postgres_url.rpartition("/")[0]
    url = f"{server}/{owner}".replace("//postgres@", f"//{owner}@")
    async with database(postgres_url, pool_size=1) as engine, engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE ROLE {owner} LOGIN CREATEROLE"))
        await connection.execute(text(f"CREATE DATABASE {owner} OWNER {owner}"))
        try:
            env = environment(database_url=url)
            assert (await run_in_thread("migrate", env=env)).returncode == 0
            await grant_roles(url)
            for words in (("rebuild",), ("rollback",), ("drop", "--all-old"), ("status",)):
                done = await run_in_thread("projections", *words, env=env)
                assert (done.returncode, words) == (0, words), done.stderr
        finally:
            await connection.execute(text(f"DROP DATABASE {owner} WITH (FORCE)"))


async def run_in_thread(*words: str, env: Mapping[str, str]) -> CompletedProcess[str]:
    return await asyncio.to_thread(run, *words, env=env)
