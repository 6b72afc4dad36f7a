"""The ACLs of docs/operations.md are enough for each role, by the authorizer of Apache Kafka."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not re-exported by its name
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from cli.connections import Addresses, database
from cli.sandbox.conference import conference_window
from cli.services import Role, running
from cli.settings import Settings
from cli.status.headings import ROLES
from cli.waiting import run_ended
from contracts.topics import (
    DEAD_LETTERS,
    ERASURE_REQUESTS,
    IMPORT_EVENTS,
    LOG_SEALS,
    SYNC_REQUESTS,
    TOPICS,
)
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.seals import Seal, encode_seal
from messaging.connection import KafkaConnection, SaslMechanism, SecurityProtocol
from messaging.dead_letters.records import dead_letter
from messaging.dead_letters.resolution import read_letters
from messaging.requests import producing, publish_request
from messaging.topic_reader import open_topic_reader
from messaging.topics import declare_topics
from projections.queries import Queries
from tests.support.apache_kafka import own_secured_broker
from tests.support.certificates import Authority
from tests.support.dead_letter_topic import a_record
from tests.support.kafka.jvm import JvmBroker
from tests.support.kafka.secured import SASL_PLAINTEXT, SecuredListeners, User
from tests.support.line import PATIENCE, a_request
from tests.support.ports import free_port
from tests.support.processes import environment, run
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import sessionize_double
from tests.support.streams import STARTED

pytestmark = pytest.mark.asyncio

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
TRANSACTION = ResourceType.TRANSACTIONAL_ID
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
CONFIGS = AclOperation.DESCRIBE_CONFIGS

REPLAYS = "replays"

SEE = [(TOPIC, topic, DESCRIBE) for topic in sorted(TOPICS)]
"""READ and WRITE include DESCRIBE; every service looks for all topics at the start."""

RELAY_STATUS = [(TOPIC, IMPORT_EVENTS, DESCRIBE), (GROUP, "spreaview-relay", DESCRIBE)]
STATUS = [
    *RELAY_STATUS,
    (TOPIC, SYNC_REQUESTS, READ),
    (TOPIC, ERASURE_REQUESTS, READ),
    (TOPIC, DEAD_LETTERS, READ),
    (TOPIC, LOG_SEALS, READ),
    (GROUP, "spreaview-worker", DESCRIBE),
    (GROUP, "spreaview-erasures", DESCRIBE),
    (GROUP, "spreaview-projector", DESCRIBE),
]

ACLS: Mapping[str, list[tuple[ResourceType, str, AclOperation]]] = {
    "worker": [
        *SEE,
        (TOPIC, SYNC_REQUESTS, READ),
        (TOPIC, IMPORT_EVENTS, READ),
        (TOPIC, IMPORT_EVENTS, WRITE),
        (TOPIC, DEAD_LETTERS, WRITE),
        (TOPIC, LOG_SEALS, WRITE),
        (TOPIC, ERASURE_REQUESTS, READ),
        (GROUP, "spreaview-worker", READ),
        (GROUP, "spreaview-erasures", READ),
        (GROUP, "spreaview-relay", READ),
        (TRANSACTION, "spreaview-relay", WRITE),
    ],
    "projector": [
        *SEE,
        (TOPIC, IMPORT_EVENTS, READ),
        (GROUP, "spreaview-projector", READ),
    ],
    "requester": [(TOPIC, SYNC_REQUESTS, WRITE)],
    "dlq": [(TOPIC, DEAD_LETTERS, READ), (TOPIC, DEAD_LETTERS, WRITE)],
    "dlq-retry": [
        (TOPIC, DEAD_LETTERS, READ),
        (TOPIC, DEAD_LETTERS, WRITE),
        (TOPIC, SYNC_REQUESTS, READ),
        (TOPIC, SYNC_REQUESTS, WRITE),
    ],
    "sealer": [(TOPIC, LOG_SEALS, READ)],
    "relay-status": RELAY_STATUS,
    "status": STATUS,
    "doctor": [
        *STATUS,
        (TOPIC, IMPORT_EVENTS, READ),
        *((TOPIC, topic, CONFIGS) for topic in sorted(TOPICS)),
    ],
    "restorer": [
        (TOPIC, IMPORT_EVENTS, READ),
        (TOPIC, ERASURE_REQUESTS, READ),
        (GROUP, "spreaview-relay", DESCRIBE),
    ],
    "replayer": [
        (TOPIC, REPLAYS, READ),
        (TOPIC, REPLAYS, WRITE),
        (GROUP, "spreaview-replay-again", READ),
        (TRANSACTION, "spreaview-replay-again", WRITE),
    ],
}
PASSWORD = "right-password"
_RETRIES = 3
"""Attempts that fail before the number of lines is counted."""


class AuthorizedListeners(SecuredListeners):
    """Listeners whose users may do only what an ACL allows; the plain listener is the admin's."""

    def properties(self) -> str:
        return super().properties() + (
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
            "super.users=User:ANONYMOUS\n"
        )

    def format_arguments(self) -> list[str]:
        arguments = super().format_arguments()
        for role in ACLS:
            arguments += ["--add-scram", f"SCRAM-SHA-256=[name={role},password={PASSWORD}]"]
        return arguments


@pytest_asyncio.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JvmBroker]:
    async with authorized_broker(tmp_path_factory.mktemp("authorized-kafka")) as broker:
        yield broker


@asynccontextmanager
async def authorized_broker(folder: Path) -> AsyncIterator[JvmBroker]:
    """A broker with the topics, the users and their rights."""
    listeners = AuthorizedListeners(folder, Authority(folder / "ours"), User("admin", PASSWORD))
    async with own_secured_broker(folder, listeners) as broker:
        await declare_topics(
            KafkaConnection(broker.address), partitions=2, replication_factor=1, retention_days=1
        )
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.create_topics([NewTopic(REPLAYS, 2, 1)])[REPLAYS].result(PATIENCE)
        wanted = [
            AclBinding(
                kind,
                name,
                ResourcePatternType.LITERAL,
                f"User:{role}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for role, acls in ACLS.items()
            for kind, name, operation in acls
        ]
        for created in admin.create_acls(wanted).values():
            created.result(PATIENCE)
        yield broker


def as_user(broker: JvmBroker, role: str) -> KafkaConnection:
    return KafkaConnection(
        broker.secured_address(SASL_PLAINTEXT),
        SecurityProtocol.SASL_PLAINTEXT,
        SaslMechanism.SCRAM_SHA_256,
        role,
        PASSWORD,
    )


async def test_worker_projector_and_requester_import_a_conference(
    broker: JvmBroker, database_url: str
) -> None:
    settings = Settings(
        database_pool=4,
        relay_poll_seconds=0.2,
        sweep_seconds=60,
        seal_seconds=1,
        kafka_manage_topics=False,
        kafka_partitions=2,
    )
    async with (
        sessionize_double(Documents()) as double,
        producing(as_user(broker, "requester")) as producer,
        database(database_url, pool_size=2) as engine,
    ):
        worker = Addresses(database_url, as_user(broker, "worker"), double.base_url)
        projector = worker._replace(kafka=as_user(broker, "projector"))
        async with (
            running(Role.WORKER, settings, worker),
            running(Role.PROJECTOR, settings, projector),
        ):
            request = a_request("demo2026", conference_window())
            await publish_request(producer, request)
            row = await run_ended(Queries(engine), request.request_id, PATIENCE)
    assert row["status"] == "completed"


async def test_a_worker_waits_for_a_topic_that_it_may_not_create(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the rights of the documentation, and without SPREAVIEW_KAFKA_MANAGE_TOPICS=false."""
    caplog.set_level(logging.INFO)
    port = free_port()
    settings = Settings(kafka_partitions=2, health_port=port)
    is_ready = asyncio.Event()

    async def serve(at: Addresses) -> None:
        async with running(Role.WORKER, settings, at):
            is_ready.set()
            await asyncio.Event().wait()

    async with authorized_broker(tmp_path / "kafka") as broker, httpx.AsyncClient() as client:
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.delete_topics([LOG_SEALS])[LOG_SEALS].result(PATIENCE)
        while LOG_SEALS in admin.list_topics(timeout=PATIENCE).topics:
            pass  # the broker has not read the deletion yet
        worker = Addresses(database_url, as_user(broker, "worker"), "http://127.0.0.1:1")
        serving = asyncio.create_task(serve(worker))
        try:
            async with asyncio.timeout(PATIENCE):
                while "CREATE" not in (detail := await start_detail(client, port)):
                    assert not serving.done()
            for named in (
                f"does not have {LOG_SEALS}, and user 'worker' lacks the right CREATE on it",
                "SPREAVIEW_KAFKA_MANAGE_TOPICS=false",
                f"--create --topic {LOG_SEALS} --partitions 2",
            ):
                assert named in detail
            async with asyncio.timeout(PATIENCE):
                while await retries(client, port) < _RETRIES:
                    assert not serving.done()
            lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
            assert len(lines) == 1, lines
            assert lines[0].startswith("Kafka is failing; ")
            assert "lacks the right CREATE" in lines[0]
            admin.create_topics([NewTopic(LOG_SEALS, 2, 1)])[LOG_SEALS].result(PATIENCE)
            await asyncio.wait_for(is_ready.wait(), PATIENCE)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def start_detail(client: httpx.AsyncClient, port: int) -> str:
    """What the start waits for, by `/ready`; empty before the process listens."""
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.TransportError:
        await asyncio.sleep(0.02)
        return ""
    return str(answer.json()["components"]["start"]["detail"])


async def retries(client: httpx.AsyncClient, port: int) -> float:
    """The failed attempts to begin with Kafka, by `/metrics`."""
    await asyncio.sleep(0.05)
    metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    found = re.search(r'^spreaview_retries_total{operation="Kafka"} (\S+)$', metrics, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        ("projector", IMPORT_EVENTS),
        ("projector", SYNC_REQUESTS),
        ("worker", SYNC_REQUESTS),
        ("requester", IMPORT_EVENTS),
        ("requester", DEAD_LETTERS),
    ],
)
async def test_a_role_may_not_publish_where_it_is_not_its_job(
    broker: JvmBroker, role: str, topic: str
) -> None:
    producer = AIOKafkaProducer(**as_user(broker, role).arguments(), request_timeout_ms=5000)
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"forged")
    finally:
        await producer.stop()


def as_role(broker: JvmBroker, role: str, **more: str) -> dict[str, str]:
    """The environment of a command."""
    return environment(
        kafka_bootstrap_servers=broker.secured_address(SASL_PLAINTEXT),
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_sasl_username=role,
        kafka_sasl_password=PASSWORD,
        kafka_manage_topics="false",
        **more,
    )


async def done(*words: str, env: dict[str, str]) -> str:
    """The output of a command that succeeds."""
    ended = await asyncio.to_thread(run, *words, env=env)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def refused(*words: str, env: dict[str, str], resource: str) -> None:
    """The command ends with a sentence that names what the role may not use."""
    ended = await asyncio.to_thread(run, *words, env=env)
    assert ended.returncode == 1, ended.stdout
    assert resource in ended.stderr
    assert "does not answer" not in ended.stderr
    assert "lacks rights" in ended.stderr or "may not DESCRIBE" in ended.stderr
    assert "Traceback" not in ended.stderr


async def a_letter(broker: JvmBroker) -> str:
    """The name of a new dead letter."""
    async with producing(KafkaConnection(broker.address)) as producer:
        sent = await producer.send_and_wait(SYNC_REQUESTS, b"not JSON", partition=0)
        record = a_record(SYNC_REQUESTS, (0, sent.offset))
        await dead_letter(producer, record, "JSON is malformed")
    async with open_topic_reader(KafkaConnection(broker.address)) as reader:
        return str((await read_letters(reader)).open()[-1].name)


async def test_the_dead_letter_commands(broker: JvmBroker, database_url: str) -> None:
    own, retrying = (
        as_role(broker, role, database_url=database_url) for role in ("dlq", "dlq-retry")
    )
    letter = await a_letter(broker)
    assert "JSON is malformed" in await done("dlq", "show", letter, env=own)
    await refused("dlq", "retry", letter, env=own, resource=SYNC_REQUESTS)
    assert SYNC_REQUESTS in await done("dlq", "retry", letter, env=retrying)
    other = await a_letter(broker)
    await done("dlq", "discard", other, "--reason", "a mistake", env=own)
    assert "No open dead letters" in await done("dlq", "list", env=own)
    stranger = as_role(broker, "requester", database_url=database_url)
    await refused("dlq", "list", env=stranger, resource=DEAD_LETTERS)


async def examined(
    broker: JvmBroker, role: str, database_url: str
) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit code of `doctor`, and its sentences by check and verdict."""
    async with sessionize_double(Documents()) as double:
        env = as_role(
            broker,
            role,
            database_url=database_url,
            kafka_partitions="2",
            sessionize_base_url=double.base_url,
        )
        ended = await asyncio.to_thread(run, "doctor", "--json", env=env)
    findings = json.loads(ended.stdout)["findings"]
    return ended.returncode, {(one["check"], one["verdict"]): one["sentence"] for one in findings}


async def test_what_a_user_may_not_read_is_not_checked_and_no_problem(
    broker: JvmBroker, database_url: str
) -> None:
    """The projector's user may see every topic, and may read none of those that are examined."""
    ended, found = await examined(broker, "projector", database_url)
    for check, resource in (
        ("requests", f"the topic {DEAD_LETTERS}"),
        ("erasure requests", "the group spreaview-erasures"),
        ("relay", "the group spreaview-relay"),
        ("dead letters", f"the topic {DEAD_LETTERS}"),
        ("seals", f"the topic {LOG_SEALS}"),
        ("groups", "the group spreaview-worker"),
    ):
        sentence = found[check, "not checked"]
        assert f"refuses user 'projector': it lacks rights on {resource}" in sentence
    assert ended == 0, found
    env = as_role(broker, "projector", database_url=database_url)
    shown = await asyncio.to_thread(run, "status", "--json", env=env)
    (letters,) = [
        problem
        for problem in json.loads(shown.stdout)["problems"]
        if "dead_letters" in problem["section"]
    ]
    assert f"it lacks rights on the topic {DEAD_LETTERS}" in letters["problem"]
    assert letters["see"] == ROLES


async def test_the_status_and_the_diagnosis(broker: JvmBroker, database_url: str) -> None:
    env = as_role(broker, "status", database_url=database_url)
    status = json.loads((await asyncio.to_thread(run, "status", "--json", env=env)).stdout)
    assert [name for name, section in status.items() if "error" in str(section)] == []
    assert "lacks rights" not in str(status["problems"])
    _, found = await examined(broker, "doctor", database_url)
    assert {check for check, verdict in found if verdict == "not checked"} == set(), found


async def test_the_erasures_after_a_restore_and_the_seals_of_a_verification(
    tmp_path: Path, database_url: str
) -> None:
    """On a broker of its own: the relay of another test has published another log."""
    async with authorized_broker(tmp_path / "kafka") as broker:

        def env(role: str) -> dict[str, str]:
            return as_role(broker, role, database_url=database_url)

        assert json.loads(await done("relay", "status", "--json", env=env("relay-status")))
        relay = "spreaview-relay"
        await refused("relay", "status", env=env("sealer"), resource=relay)
        replay = ("erasures", "replay")
        assert "The log is confirmed" in await done(*replay, env=env("restorer"))
        await refused(*replay, env=env("sealer"), resource=relay)
        await refused(*replay, env=env("relay-status"), resource=ERASURE_REQUESTS)
        verify = ("verify", "--seals-from-kafka")
        await done(*verify, env=env("sealer"))
        await refused(*verify, env=env("projector"), resource=LOG_SEALS)


async def test_the_export_of_seals(tmp_path: Path) -> None:
    """On a broker of its own: the workers of other tests seal other logs."""
    async with authorized_broker(tmp_path / "kafka") as broker:
        seal = Seal(uuid4(), uuid4(), 1, "00" * 32, 1, datetime.now(UTC))
        async with producing(KafkaConnection(broker.address)) as producer:
            key = str(seal.stream_id).encode()
            await producer.send_and_wait(LOG_SEALS, encode_seal(seal), key=key)
        words = ("seals", "export", "--output", str(tmp_path / "seals"))
        await done(*words, env=as_role(broker, "sealer"))
        assert str(seal.stream_id) in (tmp_path / "seals").read_text("utf-8")
        await refused(*words, env=as_role(broker, "requester"), resource=LOG_SEALS)


async def test_a_replay_to_a_topic(broker: JvmBroker, database_url: str) -> None:
    async with database(database_url, pool_size=2) as engine:
        stream, new = uuid4(), NewEvent(uuid4(), STARTED)
        await EventLog(engine).append(Commit(stream, 0, [new]))
    words = ("replay", "--name", "again", "--to-topic", REPLAYS)
    replayer = as_role(broker, "replayer", database_url=database_url)
    for times in range(2):
        ended = await asyncio.to_thread(run, *words, "--json", env=replayer)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["events"] == (0 if times else 1)
    other = ("replay", "--name", "other", "--to-topic", REPLAYS)
    await refused(*other, env=replayer, resource="spreaview-replay-other")
    stranger = as_role(broker, "requester", database_url=database_url)
    await refused(*words, env=stranger, resource=REPLAYS)
