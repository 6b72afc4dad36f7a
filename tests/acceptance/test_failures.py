"""Each failure that `docs/operations.md` names: made here, with its message and what mends it."""

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.conference import conference_window
from cli.sandbox.ports import free_port
from contracts import identity
from contracts.topics import IMPORT_EVENTS, SYNC_REQUESTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from projections.generations import select_live_generation
from projections.projector import Projector
from tests.support.apache_kafka import own_broker
from tests.support.failure_table import documented, rows
from tests.support.line import a_request
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import PATIENCE, environment, run
from tests.support.services import service
from tests.support.streams import STARTED

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
EVENT, SYNC, ORGANIZATION = (
    uuid5(NAMESPACE_URL, name) for name in ("event", "sync", "organization")
)


class Site:
    """A database and a broker, and commands that are given their addresses."""

    def __init__(self, folder: Path, database_url: str, kafka: str) -> None:
        self.folder = folder
        self.settings = {"database_url": database_url, "kafka_bootstrap_servers": kafka}

    async def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends."""
        given = {"data_dir": str(self.folder), **self.settings, **settings}
        done = await asyncio.to_thread(run, *command, env=environment(**given))
        assert "Traceback" not in done.stderr
        return done

    async def refused(self, *command: str, code: int = 1, **settings: str) -> str:
        """The message of a command that ends with this exit code."""
        done = await self.run(*command, **settings)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr.removeprefix("spreaview-sync: ")

    async def mended(self, *command: str) -> str:
        """Run a command that has to succeed."""
        done = await self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def behind(self) -> int:
        """The events that are not on Kafka yet."""
        return int(
            json.loads((await self.run("relay", "status", "--json")).stdout)["behind_events"]
        )

    async def problem(self, section: str) -> str:
        """The problem that `status` names for a section, with the next command."""
        done = await self.run("status", "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        found = [each for each in json.loads(done.stdout)["problems"] if each["section"] == section]
        assert found, done.stdout
        return str(found[0]["problem"])


@pytest_asyncio.fixture
async def site(database_url: str, own_kafka: str, tmp_path: Path) -> Site:
    await declare_topics(
        KafkaConnection(own_kafka), partitions=3, replication_factor=1, retention_days=1
    )
    return Site(tmp_path, database_url, own_kafka)


async def begin_run(engine: AsyncEngine, version: int = 0) -> None:
    """Append the beginning of a run."""
    event = replace(STARTED, sync_id=SYNC, spreaview_event_id=EVENT)
    new = NewEvent(identity.message_id(SYNC, 0), event)
    await EventLog(engine).append(Commit(EVENT, version, [new]))


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        await select_live_generation(connection)
        for statement in statements:
            await connection.execute(text(statement))


async def test_the_table_has_the_failures_that_are_made() -> None:
    folder = Path(__file__).parents[1]
    made: set[str] = set()
    for module in folder.rglob("test_*.py"):
        made |= set(re.findall(r'documented\(\s*"([^"]+)"', module.read_text("utf-8")))
    assert set(rows()) == made


async def test_postgresql_is_down(site: Site) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/spreaview"
    documented("PostgreSQL is down", await site.refused("relay", "status", database_url=url))


async def test_kafka_is_down(site: Site) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    said = await site.refused("relay", "status", kafka_bootstrap_servers=nowhere)
    documented("Kafka is down", said)


async def test_postgresql_refuses_the_user(site: Site) -> None:
    url = site.settings["database_url"].replace("postgres@", "unknown@")
    documented(
        "PostgreSQL refuses the user", await site.refused("relay", "status", database_url=url)
    )


async def test_the_database_does_not_exist(site: Site) -> None:
    server, _, _ = site.settings["database_url"].rpartition("/")
    said = await site.refused("relay", "status", database_url=f"{server}/absent")
    documented("the database does not exist", said)


async def test_the_database_is_not_migrated(site: Site, postgres_url: str) -> None:
    server, _, name = site.settings["database_url"].rpartition("/")
    empty = f"{name}_empty"
    async with database(f"{server}/postgres", pool_size=1) as engine, engine.connect() as admin:
        await admin.execution_options(isolation_level="AUTOCOMMIT")
        await admin.execute(text(f"CREATE DATABASE {empty}"))
        try:
            site.settings["database_url"] = f"{server}/{empty}"
            said = await site.refused("relay", "status")
            row = documented("the database is not migrated", said)
            await site.mended(*row.command)
            await site.mended("relay", "status")
        finally:
            await admin.execute(text(f"DROP DATABASE {empty} WITH (FORCE)"))


async def test_the_database_is_newer(site: Site, engine: AsyncEngine) -> None:
    await execute(engine, "UPDATE event_store.schema_version SET version_num = '9999'")
    said = await site.refused("relay", "status")
    known = re.search(r"versions up to (\d+)", said)
    assert known is not None
    documented("the database is newer than the program", said, VERSION=known[1], NEWER="9999")


async def test_a_role_lacks_a_right(site: Site, engine: AsyncEngine) -> None:
    role = "without_rights"
    await execute(
        engine,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA event_store TO {role}",
        f"GRANT SELECT ON event_store.schema_version TO {role}",
    )
    try:
        url = site.settings["database_url"].replace("postgres@", f"{role}@")
        said = await site.refused("relay", "status", database_url=url)
        documented("a role lacks a right", said, USER=role)
    finally:
        await execute(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_pooler_stands_before_the_database(site: Site) -> None:
    ignored = "extra_float_digits,idle_in_transaction_session_timeout"
    async with pgbouncer(site.settings["database_url"], ignored=ignored) as url:
        said = await site.refused("projections", "rebuild", code=2, database_url=url)
        documented("a transaction pooler stands before the database", said)
        site.settings["direct_database_url"] = site.settings["database_url"]
        site.settings["database_url"] = url
        await site.mended("projections", "rebuild")


async def test_a_topic_is_missing(database_url: str, own_kafka: str, tmp_path: Path) -> None:
    settings = {"database_url": database_url, "kafka_bootstrap_servers": own_kafka}
    with service("projector", tmp_path, **settings, kafka_manage_topics="false") as projector:
        line = await projector.line(component="Kafka")
        documented("a topic is missing", line["event"])
        await declare_topics(
            KafkaConnection(own_kafka), partitions=1, replication_factor=1, retention_days=1
        )
        await projector.line(event="PROJECTOR: ready")


async def test_no_worker_runs(site: Site, own_kafka: str) -> None:
    request = a_request("demo2026", WINDOW)
    async with producing(KafkaConnection(own_kafka)) as producer:
        await publish_request(producer, request)
    row = documented("no worker runs", await site.problem("intake"))
    assert row.command == ["worker"]
    with service("worker", site.folder, **site.settings) as worker:
        await worker.line(sync_id=str(request.request_id))


async def test_nobody_publishes(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    row = documented("nobody publishes the log", await site.problem("relay"))
    assert row.command == ["worker"]


async def test_no_projector_works(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    site.settings["stuck_seconds"] = "0.001"
    row = documented("no projector works", await site.problem("projections"))
    assert row.command == ["projector"]
    with service("projector", site.folder, **site.settings) as projector:
        await projector.line(event="PROJECTOR: ready")
        async with asyncio.timeout(PATIENCE):
            while (await site.run("projections", "status")).returncode:
                pass


async def test_a_request_hangs(site: Site) -> None:
    """Sessionize accepts the connection and never answers."""
    settings = {**site.settings, "stuck_seconds": "1"}
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        service(
            "worker",
            site.folder,
            **settings,
            sessionize_base_url=f"http://127.0.0.1:{silent.getsockname()[1]}/api/v2",
        ) as worker,
    ):
        await worker.line(event="WORKER: ready")
        async with producing(KafkaConnection(settings["kafka_bootstrap_servers"])) as producer:
            await publish_request(producer, a_request("demo2026", WINDOW))
        said = await worker.line(component="intake")
        partition = re.search(r"partition \d+", said["reason"])
        assert partition is not None
        seconds = re.search(r"\d+ seconds?", said["reason"])
        assert seconds is not None
        values = {"partition P": partition[0], "N seconds": seconds[0]}
        documented("a request hangs", said["event"], **values)


async def test_a_request_cannot_be_read(site: Site) -> None:
    with service("worker", site.folder, **site.settings) as worker:
        await worker.line(event="WORKER: ready")
        async with producing(KafkaConnection(site.settings["kafka_bootstrap_servers"])) as producer:
            await producer.send_and_wait(SYNC_REQUESTS, b"not JSON", partition=0)
        line = await worker.line(topic=SYNC_REQUESTS)
        row = documented("a request cannot be read", line["event"])
        assert await site.problem("dead_letters") == "1 dead letter open"
        listed = json.loads((await site.run("dlq", "list", "--json")).stdout)
        assert row.command == ["dlq", "discard", "LETTER", "--reason", "TEXT"]
        await site.mended("dlq", "discard", listed[0]["letter"], "--reason", "TEXT")
        assert json.loads((await site.run("dlq", "list", "--json")).stdout) == []


async def test_a_stream_has_stopped(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    await execute(engine, "ALTER TABLE sync_runs ADD CONSTRAINT refused CHECK (false) NOT VALID")
    await Projector(engine, sweep_seconds=60).catch_up([EVENT])
    done = await site.run("projections", "status")
    assert done.returncode == 1
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("stopped")]
    values = {"TIME": re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", line)}
    code = re.search(r"by code (\w+)", line)
    assert values["TIME"] is not None
    assert code is not None
    row = documented("a stream has stopped", line, TIME=values["TIME"][0], CODE=code[1])
    await execute(engine, "ALTER TABLE sync_runs DROP CONSTRAINT refused")
    assert row.command == ["projections", "retry", "--all"]
    await site.mended(*row.command)
    await site.mended("projections", "status")


async def test_the_read_models_are_ahead(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    await Projector(engine, sweep_seconds=60).catch_up([EVENT])
    await cut_the_log(engine)
    row = documented(
        "the log was restored, the read models were not", await site.problem("projections")
    )
    await site.mended(*row.command)
    await site.mended("projections", "status")


async def test_kafka_has_what_the_log_lacks(
    database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with own_broker(tmp_path) as broker:
        site = Site(tmp_path, database_url, broker.address)
        settings = site.settings | {"kafka_transactions": "true", "kafka_session_seconds": "6"}
        await begin_run(engine)
        with service("worker", tmp_path, **settings) as worker:
            await worker.line(event="WORKER: ready")
            async with asyncio.timeout(PATIENCE):
                while await site.behind():
                    pass
        await cut_the_log(engine)
        await execute(engine, "DELETE FROM event_store.checkpoints")
        row = documented(
            "the log was restored, Kafka has more",
            await site.problem("relay"),
        )
        assert row.command == ["relay", "rewind", "--restored"]
        await site.mended(*row.command, "--to", "0")
        await site.mended("relay", "status")


async def test_an_event_is_too_large(
    database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with own_broker(tmp_path) as broker:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        await admin.create_topics(
            [NewTopic(IMPORT_EVENTS, 1, 1, topic_configs={"max.message.bytes": "100"})]
        )
        await admin.close()
        site = Site(tmp_path, database_url, broker.address)
        settings = site.settings | {"kafka_transactions": "true", "kafka_session_seconds": "6"}
        await begin_run(engine)
        with service("worker", tmp_path, **settings) as worker:
            line = await worker.line(event_type="SyncStarted", level="error")
            documented("an event is too large for the topic", line["event"])


async def test_positions_lie_behind_the_log(site: Site, engine: AsyncEngine) -> None:
    await execute(
        engine, "SELECT setval(pg_get_serial_sequence('event_store.events', 'position'), 100)"
    )
    await begin_run(engine)
    await execute(
        engine, "SELECT setval(pg_get_serial_sequence('event_store.events', 'position'), 5)"
    )
    with service("worker", site.folder, **site.settings) as worker:
        await worker.line(event="WORKER: ready")
        request = a_request("demo2026", WINDOW)
        async with producing(KafkaConnection(site.settings["kafka_bootstrap_servers"])) as producer:
            await publish_request(producer, request)
        line = await worker.line(component="PostgreSQL")
        row = documented("the database was copied without its sequences", line["event"])
        statement = re.search(r"`(SELECT .*)`", row.mended_by)
        assert statement is not None
        await execute(engine, statement[1])
        await worker.line(sync_id=str(request.request_id))


async def test_a_person_is_unknown(site: Site) -> None:
    said = await site.refused(
        *("erase-speaker", "--organization-id", str(ORGANIZATION), "--speaker", "s1", "--yes")
    )
    documented("the person to erase is unknown", said)


async def cut_the_log(engine: AsyncEngine) -> None:
    """Bring the log to its state before the first event, as a restore does."""
    await execute(
        engine,
        "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
        "DELETE FROM event_store.events",
        "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only",
        "DELETE FROM event_store.streams",
    )
