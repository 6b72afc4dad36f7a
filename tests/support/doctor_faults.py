"""Faults that the doctor must find and explain, each injected into a healthy site and healed."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from cli.commands.dlq import discard_letters
from cli.settings import Settings
from contracts import identity
from contracts.topics import DEAD_LETTERS, IMPORT_EVENTS, LOG_SEALS, SYNC_REQUESTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, StreamMovedError
from eventstore.schema_version import NEEDED
from messaging.dead_letters.resolution import read_letters
from messaging.requests import producing, publish_request
from messaging.topic_reader import open_topic_reader
from messaging.topics import declare_topics
from projections.generations import MAINTENANCE
from projections.version import CODE_VERSION
from tests.support.doctoring import WINDOW, Site
from tests.support.line import a_request
from tests.support.pgbouncer import pgbouncer
from tests.support.ports import free_port
from tests.support.streams import STARTED
from tests.support.topic_settings import set_topic

Injection = Callable[[Site], AbstractAsyncContextManager[Mapping[str, str]]]
"""Makes the fault while its block runs; yields the settings that the doctor gets with it."""


class Fault(NamedTuple):
    """A fault, and the finding that explains it."""

    name: str
    inject: Injection
    check: str
    words: str
    """In the sentence of the finding."""
    verdict: str = "problem"
    remedy: str = ""
    """In the remedy of the finding."""

    def __str__(self) -> str:
        return self.name


def settings(**given: str) -> Injection:
    """Wrong settings of the doctor, which make the fault for it alone."""

    @asynccontextmanager
    async def inject(site: Site) -> AsyncIterator[Mapping[str, str]]:
        values = {"server": site.settings["database_url"].rpartition("/")[0]}
        nowhere = {"nowhere": f"127.0.0.1:{free_port()}"}
        yield {name: value.format(**values, **nowhere) for name, value in given.items()}

    return inject


def statements(inject_it: Sequence[str], heal_it: Sequence[str]) -> Injection:
    """Statements that make the fault in the database, and those that heal it."""

    @asynccontextmanager
    async def inject(site: Site) -> AsyncIterator[Mapping[str, str]]:
        await site.execute(*inject_it)
        try:
            yield {}
        finally:
            await site.execute(*heal_it)

    return inject


def session(statement: str, *, then: Sequence[str] = (), **given: str) -> Injection:
    """A foreign session that executes a statement and stays open."""

    @asynccontextmanager
    async def inject(site: Site) -> AsyncIterator[Mapping[str, str]]:
        connection = await asyncpg.connect(site.settings["database_url"])
        try:
            for one in (statement, *then):
                await connection.execute(one)
            yield given
        finally:
            await connection.close()

    return inject


def topic_setting(topic: str, wrong: str, right: str) -> Injection:
    """A setting of a topic, as `name=value`."""

    @asynccontextmanager
    async def inject(site: Site) -> AsyncIterator[Mapping[str, str]]:
        await set_topic(str(site.kafka), topic, wrong)
        try:
            yield {}
        finally:
            await set_topic(str(site.kafka), topic, right)

    return inject


@asynccontextmanager
async def unknown_variable(_: Site) -> AsyncIterator[Mapping[str, str]]:
    os.environ["SPREAVIEW_KAFKA_PARTITIONZ"] = "3"
    try:
        yield {}
    finally:
        del os.environ["SPREAVIEW_KAFKA_PARTITIONZ"]


@asynccontextmanager
async def pooler(site: Site) -> AsyncIterator[Mapping[str, str]]:
    ignored = "extra_float_digits,idle_in_transaction_session_timeout"
    async with pgbouncer(site.settings["database_url"], ignored=ignored) as url:
        yield {"database_url": url}


@asynccontextmanager
async def missing_topic(site: Site) -> AsyncIterator[Mapping[str, str]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=str(site.kafka))
    await admin.start()
    try:
        await admin.delete_topics([LOG_SEALS])
        yield {}
    finally:
        async with asyncio.timeout(30):
            while LOG_SEALS not in await admin.list_topics():
                with suppress(KafkaError):  # until the old topic is gone
                    await declare_topics(
                        site.kafka, partitions=3, replication_factor=1, retention_days=30
                    )
        await admin.close()


@asynccontextmanager
async def dead_letter(site: Site) -> AsyncIterator[Mapping[str, str]]:
    producer = AIOKafkaProducer(bootstrap_servers=str(site.kafka))
    await producer.start()
    await producer.send_and_wait(SYNC_REQUESTS, b"not JSON", partition=0)
    await producer.stop()
    try:
        yield {}
    finally:
        async with open_topic_reader(site.kafka) as reader:
            names = [letter.name for letter in (await read_letters(reader)).open()]
        given: dict[str, Any] = dict(site.settings)
        await discard_letters(names, "by a test", Settings(**given))


@asynccontextmanager
async def without_rights(site: Site) -> AsyncIterator[Mapping[str, str]]:
    role = f"limited_{uuid4().hex}"
    await site.execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA event_store TO {role}",
        f"GRANT SELECT ON event_store.schema_version, event_store.events TO {role}",
    )
    try:
        yield {"database_url": site.settings["database_url"].replace("postgres@", f"{role}@")}
    finally:
        await site.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@asynccontextmanager
async def unused_slot(site: Site) -> AsyncIterator[Mapping[str, str]]:
    connection = await asyncpg.connect(site.settings["database_url"])
    name = f"unused_{uuid4().hex}"
    try:
        await connection.execute(f"SELECT pg_create_physical_replication_slot('{name}', true)")
        yield {}
    finally:
        await connection.execute(f"SELECT pg_drop_replication_slot('{name}')")
        await connection.close()


@asynccontextmanager
async def restored(site: Site) -> AsyncIterator[Mapping[str, str]]:
    """The database's copy of the checkpoint names an event that this log does not have."""
    before = await site.value("SELECT message_id FROM event_store.checkpoints")
    change = "UPDATE event_store.checkpoints SET message_id = '{}'"
    await site.execute(change.format(uuid4()))
    try:
        yield {}
    finally:
        await site.execute(change.format(before))


@asynccontextmanager
async def waiting_request(site: Site) -> AsyncIterator[Mapping[str, str]]:
    site.services.close()
    async with producing(site.kafka) as producer:
        await publish_request(producer, a_request("demo2026", WINDOW))
    yield {}


@asynccontextmanager
async def open_run(site: Site) -> AsyncIterator[Mapping[str, str]]:
    site.services.close()
    stream, sync = uuid5(NAMESPACE_URL, "stream"), uuid5(NAMESPACE_URL, "sync")
    event = replace(STARTED, sync_id=sync, spreaview_event_id=stream)
    with suppress(StreamMovedError):  # it is there: other faults need it, too
        new = NewEvent(identity.message_id(sync, 0), event)
        await EventLog(site.engine).append(Commit(stream, 0, [new]))
    yield {}


async def found_and_healed(site: Site, fault: Fault) -> None:
    """Inject a fault, find it, see that the finding explains it, and heal it."""
    async with fault.inject(site) as given:
        findings = await site.finding(fault.check, fault.verdict, fault.words, **given)
    found = next(
        one for one in findings if one["check"] == fault.check and fault.words in one["sentence"]
    )
    assert fault.remedy in (found["remedy"] or ""), found


_OLD_ROLE = "without_the_live_one"
_SEQUENCE = "pg_get_serial_sequence('event_store.events', 'position')"
_STOPPED = f"error = 'refused', stopped_at = now(), code_version = '{CODE_VERSION}'"
_LIVE = "spreaview_g1.stream_progress"
_EVENTS = "FROM event_store.events"

FAULTS: Sequence[Fault] = (
    Fault("an unknown setting", unknown_variable, "settings", "did you mean", "warning"),
    Fault(
        "PostgreSQL is down",
        settings(database_url="postgresql://postgres@{nowhere}/x"),
        "PostgreSQL",
        "the connection was refused",
        remedy="SPREAVIEW_DATABASE_URL",
    ),
    Fault(
        "PostgreSQL does not know the user",
        settings(database_url="postgresql://nobody@{nowhere}/x"),
        "PostgreSQL",
        "does not answer",
    ),
    Fault(
        "the database does not exist",
        settings(database_url="{server}/absent"),
        "PostgreSQL",
        "does not exist",
        remedy="create that",
    ),
    Fault(
        "the database is not migrated",
        settings(database_url="{server}/postgres"),
        "schema",
        "is not migrated",
        remedy="spreaview-sync migrate",
    ),
    Fault(
        "the database is newer",
        statements(
            ["UPDATE event_store.schema_version SET version_num = '9999'"],
            [f"UPDATE event_store.schema_version SET version_num = '{NEEDED}'"],
        ),
        "schema",
        "this program is older than the database",
    ),
    Fault(
        "the replica is of another log",
        settings(read_database_url="{server}/migrated"),
        "replica",
        "leads to another log",
    ),
    Fault("a transaction pooler", pooler, "sessions", "transaction pooler"),
    Fault(
        "Kafka is down",
        settings(kafka_bootstrap_servers="{nowhere}"),
        "Kafka",
        "the connection was refused",
        remedy="SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS",
    ),
    Fault(
        "Kafka is reached by the wrong protocol",
        settings(kafka_security_protocol="SSL"),
        "Kafka",
        "closed the connection",
        remedy="SPREAVIEW_KAFKA_SECURITY_PROTOCOL",
    ),
    Fault("a topic is missing", missing_topic, "topics", LOG_SEALS, remedy="worker"),
    Fault(
        "topics have other partitions",
        settings(kafka_partitions="6"),
        "topics",
        "has 3 partitions",
        "warning",
    ),
    Fault(
        "events are kept too short",
        topic_setting(IMPORT_EVENTS, "retention.ms=60000", "retention.ms=2592000000"),
        "settings of topics",
        "retention.ms=60000",
        "warning",
        remedy="--add-config retention.ms=2592000000",
    ),
    Fault(
        "producers stamp the records",
        topic_setting(
            DEAD_LETTERS,
            "message.timestamp.type=CreateTime",
            "message.timestamp.type=LogAppendTime",
        ),
        "time stamps",
        "keeps the producers' time stamps",
        remedy="message.timestamp.type=LogAppendTime",
    ),
    Fault(
        "topics have fewer replicas than configured",
        settings(kafka_replication_factor="3"),
        "replication",
        "has 1 replica",
        "warning",
    ),
    Fault("a dead letter is open", dead_letter, "dead letters", "1 dead letter open", remedy="dlq"),
    Fault(
        "a stream has stopped",
        statements(
            [f"UPDATE {_LIVE} SET {_STOPPED}"],
            [f"UPDATE {_LIVE} SET error = NULL, stopped_at = NULL"],
        ),
        "read models",
        "1 stream stopped",
        remedy="projections status",
    ),
    Fault(
        "the read models are ahead",
        statements(
            [f"UPDATE {_LIVE} SET position = position + 1000"],
            [f"UPDATE {_LIVE} SET position = position - 1000"],
        ),
        "restored log",
        "1 stream ahead of it",
        remedy="projections repair --ahead",
    ),
    Fault("the log was restored", restored, "restored log", "is not in this log"),
    Fault(
        "another program holds the lock of rebuilds",
        session(f"SELECT pg_advisory_lock({MAINTENANCE})"),
        "locks",
        "holds the lock of rebuilds",
        remedy="pg_terminate_backend",
    ),
    Fault(
        "a transaction stays open",
        session("BEGIN", then=["SELECT count(*) FROM spreaview.sessions"], stuck_seconds="0.01"),
        "transactions",
        "is open for",
        "warning",
        remedy="pg_terminate_backend",
    ),
    Fault(
        "the sequence is behind the log",
        statements(
            [f"SELECT setval({_SEQUENCE}, 1)"],
            [f"SELECT setval({_SEQUENCE}, max(position)) {_EVENTS}"],
        ),
        "sequence",
        "nothing can be appended",
        remedy="SELECT setval",
    ),
    Fault(
        "positions are cached",
        statements(
            ["ALTER SEQUENCE event_store.events_position_seq CACHE 50"],
            [
                "ALTER SEQUENCE event_store.events_position_seq CACHE 1",
                f"SELECT setval({_SEQUENCE}, max(position)) {_EVENTS}",
            ],
        ),
        "sequence",
        "take 50 positions at once",
    ),
    Fault("a replication slot is not used", unused_slot, "disk of PostgreSQL", "WAL", "warning"),
    Fault(
        "an event is too large",
        statements(
            [
                "INSERT INTO event_store.unpublished (position, message_id, reason) "
                f"SELECT position, message_id, 'too large' {_EVENTS} LIMIT 1"
            ],
            ["DELETE FROM event_store.unpublished"],
        ),
        "relay",
        "1 event too large",
        remedy="relay status",
    ),
    Fault(
        "a generation is half-filled",
        statements(
            [
                "INSERT INTO projections.generations (number, schema, live, code_version) "
                "VALUES (99, 'spreaview_g99', false, 'x')"
            ],
            ["DELETE FROM projections.generations WHERE number = 99"],
        ),
        "generations",
        "generation 99 is half-filled",
        "warning",
        remedy="projections drop 99",
    ),
    Fault(
        "a role may use an old generation only",
        statements(
            [
                "INSERT INTO projections.generations (number, schema, live, code_version) "
                "VALUES (99, 'spreaview_g99', false, 'x')",
                "CREATE SCHEMA spreaview_g99",
                f"CREATE ROLE {_OLD_ROLE}",
                f"GRANT USAGE ON SCHEMA spreaview_g99 TO {_OLD_ROLE}",
            ],
            [
                "DELETE FROM projections.generations WHERE number = 99",
                "DROP SCHEMA spreaview_g99",
                f"DROP ROLE {_OLD_ROLE}",
            ],
        ),
        "rights on the read models",
        _OLD_ROLE,
        remedy="projections status",
    ),
    Fault(
        "Sessionize does not answer",
        settings(sessionize_base_url="http://{nowhere}/api/v2"),
        "Sessionize",
        "does not answer: the connection was refused",
        remedy="SPREAVIEW_SESSIONIZE_BASE_URL",
    ),
    Fault("a login lacks rights", without_rights, "rights", "lacks", remedy="GRANT"),
)
"""Each is healed at the end of its injection."""

LAST_FAULTS: Sequence[Fault] = (
    Fault(
        "no worker runs",
        waiting_request,
        "requests",
        "1 request waiting, and no worker runs",
        remedy="spreaview-sync worker",
    ),
    Fault("nobody publishes", open_run, "relay", "no worker leads", remedy="spreaview-sync worker"),
    Fault("a run stays open", open_run, "open runs", "no worker runs"),
    Fault("no projector works", open_run, "read models", "no projector runs", remedy="projector"),
)
"""These stop the services for good."""

IN_CI = (
    *("the database does not exist", "producers stamp the records", "a dead letter is open"),
    *("another program holds the lock of rebuilds", "the sequence is behind the log"),
)
"""Five faults of different kinds."""
