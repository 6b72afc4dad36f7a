"""Each failure that `docs/operations.md` names: made here, with its message and what mends it.

Commands and services run in this process, and the cases share a database, brokers and a worker
where they leave everything as they found it: a case takes the time of its failure, and no more.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.conference import conference_window
from cli.services import Role
from contracts import identity
from contracts.topics import IMPORT_EVENTS, SYNC_REQUESTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.schema_version import NEEDED
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from projections.generations import select_live_generation
from projections.projector import Projector
from tests.support.apache_kafka import own_broker
from tests.support.chaos.clock import REQUIRED as REQUIRED_FAKETIME
from tests.support.chaos.clock import ahead, missing_library
from tests.support.commands_inside import Lines, logged_lines, run_inside, service_inside
from tests.support.commands_inside import inside as inside
from tests.support.failure_table import documented, rows
from tests.support.line import a_request
from tests.support.pgbouncer import pgbouncer
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, environment, run
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending
from tests.support.sessionize.double import Double, sessionize_double
from tests.support.streams import STARTED, change_log
from tests.support.topic_settings import set_topic

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("inside"),
    # aiokafka leaves a connection behind if a health check of a service runs out of time.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WINDOW = conference_window()
EVENT, SYNC, ORGANIZATION = (
    uuid5(NAMESPACE_URL, name) for name in ("event", "sync", "organization")
)
SILENT = "silent2026"
"""The API ID for which Sessionize accepts the request and never answers."""
SMALL, USUAL = "max.message.bytes=100", "max.message.bytes=8388608"
BY_PRODUCERS, BY_THE_BROKER = (
    f"message.timestamp.type={who}" for who in ("CreateTime", "LogAppendTime")
)


class Site:
    """A database and a broker, and commands that are given their addresses."""

    def __init__(self, folder: Path, database_url: str, kafka: str) -> None:
        self.folder = folder
        self.settings = {
            "data_dir": str(folder),
            "database_url": database_url,
            "kafka_bootstrap_servers": kafka,
            "kafka_partitions": "3",
        }

    async def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends."""
        done = await run_inside(*command, env=environment(**{**self.settings, **settings}))
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

    async def until_well(self, *command: str) -> None:
        """Repeat a command until it ends with 0."""
        done = None
        try:
            async with asyncio.timeout(PATIENCE):
                while (done := await self.run(*command)).returncode:
                    pass
        except TimeoutError:
            raise AssertionError(done) from None

    async def problem(self, section: str) -> str:
        """The problem that `status` names for a section."""
        done = await self.run("status", "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        found = [each for each in json.loads(done.stdout)["problems"] if each["section"] == section]
        assert found, done.stdout
        return str(found[0]["problem"])

    async def publish(self, api_id: str = "demo2026") -> UUID:
        """Publish a request; its id."""
        request = a_request(api_id, WINDOW)
        async with producing(KafkaConnection(self.settings["kafka_bootstrap_servers"])) as producer:
            await publish_request(producer, request)
        return request.request_id


class Served(Site):
    """A site with Apache Kafka and a worker, which a case may stop for a while."""

    lines: Lines
    """What the worker has logged since its last start."""

    def __init__(self, folder: Path, database_url: str, kafka: str, sessionize: Double) -> None:
        super().__init__(folder, database_url, kafka)
        self.sessionize = sessionize
        self._more = {"stuck_seconds": "1", "sessionize_base_url": sessionize.base_url}
        self._worker = AsyncExitStack()

    async def start_worker(self) -> None:
        worker = service_inside(Role.WORKER, **self.settings, **self._more)
        self.lines = await self._worker.enter_async_context(worker)
        await self.lines.line(event="WORKER: ready")

    async def stop_worker(self) -> None:
        await self._worker.aclose()

    @asynccontextmanager
    async def without_worker(self) -> AsyncIterator[None]:
        await self.stop_worker()
        try:
            yield
        finally:
            await self.start_worker()

    async def until_passed(self) -> None:
        """Wait until the relay has published, or skipped, every event of the log."""
        async with asyncio.timeout(PATIENCE):
            while json.loads((await self.run("relay", "status", "--json")).stdout)["behind_events"]:
                pass

    async def set_topic(self, topic: str, config: str) -> None:
        await set_topic(self.settings["kafka_bootstrap_servers"], topic, config)


@pytest_asyncio.fixture(scope="module")
async def module_site(
    module_kafka: str, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """A site for cases that change nothing, or nothing in topics; the broker is the sandbox's."""
    await declare_topics(
        KafkaConnection(module_kafka), partitions=3, replication_factor=1, retention_days=1
    )
    return Site(tmp_path_factory.mktemp("site"), module_database_url, module_kafka)


@pytest.fixture
def site(module_site: Site, database_url: str, tmp_path: Path) -> Site:
    """A site with a database of the case's own."""
    return Site(tmp_path, database_url, module_site.settings["kafka_bootstrap_servers"])


@pytest_asyncio.fixture(scope="module")
async def module_served(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    async with (
        own_broker(folder) as broker,
        sessionize_double(Documents()) as sessionize,
    ):
        served = Served(folder, module_database_url, broker.address, sessionize)
        await served.start_worker()
        yield served
        await served.stop_worker()


@pytest_asyncio.fixture
async def served(module_served: Served, inside: None) -> AsyncIterator[Served]:
    """The shared site with a worker; the log lines of each case are its own."""
    async with logged_lines() as lines:
        module_served.lines = lines
        yield module_served


@pytest_asyncio.fixture
async def log_engine(served: Served) -> AsyncIterator[AsyncEngine]:
    """On the database of the shared site."""
    async with database(served.settings["database_url"], pool_size=2) as engine:
        yield engine


async def begin_run(engine: AsyncEngine, stream: UUID = EVENT, sync: UUID = SYNC) -> None:
    """Append the beginning of a run."""
    event = replace(STARTED, sync_id=sync, spreaview_event_id=stream)
    new = NewEvent(identity.message_id(sync, 0), event)
    await EventLog(engine).append(Commit(stream, 0, [new]))


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


async def test_postgresql_is_down(module_site: Site) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/spreaview"
    said = await module_site.refused("relay", "status", database_url=url)
    documented("PostgreSQL is down", said)


async def test_kafka_is_down(module_site: Site) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    said = await module_site.refused("relay", "status", kafka_bootstrap_servers=nowhere)
    documented("Kafka is down", said)


async def test_postgresql_refuses_the_user(module_site: Site) -> None:
    url = module_site.settings["database_url"].replace("postgres@", "unknown@")
    said = await module_site.refused("relay", "status", database_url=url)
    documented("PostgreSQL refuses the user", said)


async def test_the_database_does_not_exist(module_site: Site) -> None:
    server, _, _ = module_site.settings["database_url"].rpartition("/")
    said = await module_site.refused("relay", "status", database_url=f"{server}/absent")
    documented("the database does not exist", said)


async def test_the_database_is_not_migrated(site: Site) -> None:
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
    documented("the database is newer than the program", said, VERSION=NEEDED, NEWER="9999")


async def test_a_role_lacks_a_right(site: Site, engine: AsyncEngine) -> None:
    role = f"limited_{uuid4().hex}"
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


async def test_roles_lack_rights_on_the_live_generation(site: Site, engine: AsyncEngine) -> None:
    """They may use an older generation: somebody has changed the rights after a rebuild."""
    role = f"reader_{uuid4().hex}"
    await site.mended("projections", "rebuild")
    await execute(engine, f"CREATE ROLE {role}", f"GRANT USAGE ON SCHEMA spreaview_g1 TO {role}")
    try:
        said = await site.problem("projections")
        documented("roles lack rights on the live generation", said, ROLE=role)
        await execute(engine, f"GRANT USAGE ON SCHEMA spreaview_g2 TO {role}")
        await site.mended("projections", "status")
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


async def test_a_rebuild_refuses_to_switch(site: Site, engine: AsyncEngine) -> None:
    """The live generation has an event that the new one cannot apply."""
    await begin_run(engine)
    await Projector(engine, sweep_seconds=60).catch_up([EVENT])
    damage = "UPDATE event_store.events SET data = data - 'window' WHERE stream_id = :stream"
    await change_log(engine, damage, stream=EVENT)
    said = await site.refused("projections", "rebuild")
    documented("a rebuild refuses to switch", said.partition("spreaview-sync: ")[2])
    await site.mended("projections", "rebuild", "--accept-stopped")


async def test_a_topic_is_missing(module_database_url: str, own_kafka: str, tmp_path: Path) -> None:
    site = Site(tmp_path, module_database_url, own_kafka)
    settings = site.settings | {"kafka_manage_topics": "false", "kafka_partitions": "12"}
    async with service_inside(Role.PROJECTOR, **settings) as lines:
        line = await lines.line(component="Kafka")
        documented("a topic is missing", line["event"])
        await declare_topics(
            KafkaConnection(own_kafka), partitions=1, replication_factor=1, retention_days=1
        )
        await lines.line(event="Kafka works again")


async def test_no_worker_runs(served: Served) -> None:
    async with served.without_worker():
        request_id = await served.publish()
        row = documented("no worker runs", await served.problem("intake"))
        assert row.command == ["worker"]
    await served.lines.line(sync_id=request_id)


async def test_nobody_publishes(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    row = documented("nobody publishes the log", await site.problem("relay"))
    assert row.command == ["worker"]


async def test_no_projector_works(site: Site, engine: AsyncEngine) -> None:
    await begin_run(engine)
    site.settings["stuck_seconds"] = "0.001"
    row = documented("no projector works", await site.problem("projections"))
    assert row.command == ["projector"]
    async with service_inside(Role.PROJECTOR, **site.settings, sweep_seconds="0.1"):
        await site.until_well("projections", "status")


async def test_a_request_hangs(served: Served) -> None:
    """Sessionize accepts the connection and never answers."""
    silent = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))
    served.sessionize.documents.put(SILENT, silent)
    request_id = await served.publish(SILENT)
    line = await served.lines.line(component="intake")
    partition = re.search(r"partition \d+", line["reason"])
    assert partition is not None
    seconds = re.search(r"\d+ seconds?", line["reason"])
    assert seconds is not None
    values = {"partition P": partition[0], "N seconds": seconds[0]}
    documented("a request hangs", line["event"], **values)
    async with served.without_worker():
        served.sessionize.serve(SILENT, b"[]")
    await served.lines.line(sync_id=request_id, level="WARNING")


async def test_a_request_cannot_be_read(served: Served) -> None:
    async with producing(KafkaConnection(served.settings["kafka_bootstrap_servers"])) as producer:
        await producer.send_and_wait(SYNC_REQUESTS, b"not JSON", partition=0)
    line = await served.lines.line(topic=SYNC_REQUESTS)
    row = documented("a request cannot be read", line["event"], **{"/0@0": f"/0@{line['offset']}"})
    assert await served.problem("dead_letters") == "1 dead letter open"
    listed = json.loads((await served.run("dlq", "list", "--json")).stdout)
    assert row.command == ["dlq", "discard", "LETTER", "--reason", "TEXT"]
    await served.mended("dlq", "discard", listed[0]["letter"], "--reason", "TEXT")
    assert json.loads((await served.run("dlq", "list", "--json")).stdout) == []


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


async def test_kafka_has_what_the_log_lacks(served: Served, log_engine: AsyncEngine) -> None:
    await begin_run(log_engine, uuid4(), uuid4())
    await served.until_passed()
    async with served.without_worker():
        await cut_the_log(log_engine)
        await execute(log_engine, "DELETE FROM event_store.checkpoints")
        row = documented("the log was restored, Kafka has more", await served.problem("relay"))
        assert row.command == ["relay", "rewind", "--restored"]
        await served.mended(*row.command, "--to", "0")
        row = documented(
            "the log was restored, the erasures since are not confirmed",
            await served.problem("relay"),
        )
        assert row.command == ["erasures", "replay"]
        await served.mended(*row.command)
        await served.mended("relay", "status")


async def test_an_event_is_too_large(served: Served, log_engine: AsyncEngine) -> None:
    await served.set_topic(IMPORT_EVENTS, SMALL)
    try:
        await begin_run(log_engine, uuid4(), uuid4())
        line = await served.lines.line(event_type="SyncStarted", level="ERROR")
    finally:
        await served.set_topic(IMPORT_EVENTS, USUAL)
    before = re.search(r"relay rewind --to (\d+)", line["event"])
    assert before is not None
    values = {"--to 0": f"--to {before[1]}", "version 1": f"version {line.get('version', 1)}"}
    documented("an event is too large for the topic", line["event"], **values)
    await served.until_passed()
    await served.mended("relay", "rewind", "--to", before[1])
    await served.until_passed()
    await served.mended("relay", "status")


async def test_positions_lie_behind_the_log(served: Served, log_engine: AsyncEngine) -> None:
    sequence = "pg_get_serial_sequence('event_store.events', 'position')"
    await begin_run(log_engine, uuid4(), uuid4())
    await execute(log_engine, f"SELECT setval({sequence}, 1, false)")
    request_id = await served.publish()
    line = await served.lines.line(component="PostgreSQL")
    row = documented("the database was copied without its sequences", line["event"])
    statement = re.search(r"`(SELECT .*)`", row.mended_by)
    assert statement is not None
    await execute(log_engine, statement[1])
    await served.lines.line(sync_id=request_id)


async def test_the_clock_of_a_process_is_wrong(served: Served) -> None:
    """Producers stamp the records of a topic that an old version or somebody else has created."""
    if (reason := missing_library()) is not None:
        assert os.environ.get(REQUIRED_FAKETIME) != "1", reason
        pytest.skip(reason)
    variables = environment(**served.settings) | ahead("+7205")
    command = (
        *("request", "--organization-id", str(ORGANIZATION), "--event-id", str(EVENT)),
        *("--api-id", "demo2026", "--from", str(WINDOW.starts_on), "--to", str(WINDOW.ends_on)),
        *("--time-zone", WINDOW.time_zone),
    )
    await served.set_topic(SYNC_REQUESTS, BY_PRODUCERS)
    try:
        done = await asyncio.to_thread(run, *command, env=variables)
    finally:
        await served.set_topic(SYNC_REQUESTS, BY_THE_BROKER)
    assert done.returncode == 1
    said = done.stderr.removeprefix("spreaview-sync: ")
    documented("the clock of a process is wrong", said)


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
