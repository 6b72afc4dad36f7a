"""The ACLs of docs/operations.md are enough for each role, by the authorizer of Apache Kafka."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not re-exported by its name
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from cli.connections import Addresses, database
from cli.sandbox.conference import conference_window
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import run_ended
from contracts.topics import DEAD_LETTERS, IMPORT_EVENTS, LOG_SEALS, SYNC_REQUESTS
from messaging.connection import KafkaConnection, SaslMechanism, SecurityProtocol
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from projections.queries import Queries
from tests.support.apache_kafka import own_secured_broker
from tests.support.certificates import Authority
from tests.support.kafka.jvm import JvmBroker
from tests.support.kafka.secured import SASL_PLAINTEXT, SecuredListeners, User
from tests.support.line import PATIENCE, a_request
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import sessionize_double

pytestmark = pytest.mark.asyncio

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
TRANSACTION = ResourceType.TRANSACTIONAL_ID
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE

SEE = [
    (TOPIC, topic, DESCRIBE) for topic in (SYNC_REQUESTS, IMPORT_EVENTS, DEAD_LETTERS, LOG_SEALS)
]
"""READ and WRITE include DESCRIBE; every service looks for all topics at the start."""

ACLS: Mapping[str, list[tuple[ResourceType, str, AclOperation]]] = {
    "worker": [
        *SEE,
        (TOPIC, SYNC_REQUESTS, READ),
        (TOPIC, IMPORT_EVENTS, READ),
        (TOPIC, IMPORT_EVENTS, WRITE),
        (TOPIC, DEAD_LETTERS, WRITE),
        (TOPIC, LOG_SEALS, WRITE),
        (GROUP, "spreaview-worker", READ),
        (GROUP, "spreaview-relay", READ),
        (TRANSACTION, "spreaview-relay", WRITE),
    ],
    "projector": [
        *SEE,
        (TOPIC, IMPORT_EVENTS, READ),
        (GROUP, "spreaview-projector", READ),
    ],
    "requester": [(TOPIC, SYNC_REQUESTS, WRITE)],
}
PASSWORD = "right-password"


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
    folder: Path = tmp_path_factory.mktemp("authorized-kafka")
    listeners = AuthorizedListeners(folder, Authority(folder / "ours"), User("admin", PASSWORD))
    async with own_secured_broker(folder, listeners) as broker:
        await declare_topics(
            KafkaConnection(broker.address), partitions=2, replication_factor=1, retention_days=1
        )
        admin = AdminClient({"bootstrap.servers": broker.address})
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
