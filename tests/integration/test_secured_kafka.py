"""Apache Kafka with TLS and SASL: what is right works, and what is wrong is named."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not re-exported by its name
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from audit.transfer.seal_files import published_seals
from cli.connections import Addresses
from cli.sandbox.conference import conference_window
from cli.services import Role, running
from cli.settings import Settings
from contracts.topics import IMPORT_EVENTS
from messaging.access import check
from messaging.connection import (
    KafkaAccessError,
    KafkaConnection,
    SaslMechanism,
    SecurityProtocol,
)
from messaging.errors import is_kafka_outage
from messaging.lag import watching_lag
from messaging.publisher import TransactionalPublisher
from messaging.requests import producing
from messaging.topic_reader import open_topic_reader
from messaging.topics import declare_topics
from tests.support.apache_kafka import own_secured_broker
from tests.support.certificates import Authority, Certificate
from tests.support.failure_table import documented
from tests.support.kafka.jvm import JvmBroker
from tests.support.kafka.secured import (
    ELSEWHERE,
    EXPIRED,
    MUTUAL,
    SASL_PLAINTEXT,
    SASL_SSL,
    SecuredListeners,
    User,
)
from tests.support.line import a_request, the_line
from tests.support.ports import free_port
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

ANSWER_SECONDS = 5.0
PATIENCE = 60.0
USER = User("spreaview", "right-password")


class Secured(NamedTuple):
    """A broker, and what its clients need."""

    broker: JvmBroker
    authority: Authority
    stranger: Authority
    """Another authority, which neither side trusts."""
    certificates: dict[str, Certificate]
    """Of clients."""

    def tls(self, listener: str, **changed: object) -> KafkaConnection:
        return self._to(listener, SecurityProtocol.SSL, ca_file=self.authority.ca_file, **changed)

    def mutual(self, name: str) -> KafkaConnection:
        certificate, key = self.certificates[name]
        return self.tls(MUTUAL, certificate_file=certificate, key_file=key)

    def sasl(
        self, mechanism: SaslMechanism = SaslMechanism.PLAIN, **changed: object
    ) -> KafkaConnection:
        right: dict[str, object] = {
            "mechanism": mechanism,
            "username": USER.name,
            "password": USER.password,
            "ca_file": self.authority.ca_file,
        }
        return self._to(SASL_SSL, SecurityProtocol.SASL_SSL, **right | changed)

    def _to(
        self, listener: str, protocol: SecurityProtocol, **arguments: object
    ) -> KafkaConnection:
        address = self.broker.secured_address(listener)
        return KafkaConnection(address, protocol, **arguments)  # type: ignore[arg-type]  # by name


@pytest_asyncio.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder: Path = tmp_path_factory.mktemp("secured-kafka")
    authority, stranger = Authority(folder / "ours"), Authority(folder / "theirs", "a stranger")
    certificates = {
        "right": authority.issue("client"),
        "expired": authority.issue("expired-client", expired=True),
        "stranger": stranger.issue("stranger"),
    }
    listeners = SecuredListeners(folder, authority, USER)
    async with own_secured_broker(folder, listeners) as broker:
        yield Secured(broker, authority, stranger, certificates)


def a_sasl_plaintext(secured: Secured) -> KafkaConnection:
    return KafkaConnection(
        secured.broker.secured_address(SASL_PLAINTEXT),
        SecurityProtocol.SASL_PLAINTEXT,
        SaslMechanism.SCRAM_SHA_256,
        USER.name,
        USER.password,
    )


Make = Callable[[Secured], KafkaConnection]

RIGHT: dict[str, Make] = {
    "PLAIN": lambda s: s.sasl(),
    "SCRAM-SHA-256": lambda s: s.sasl(SaslMechanism.SCRAM_SHA_256),
    "SCRAM-SHA-512": lambda s: s.sasl(SaslMechanism.SCRAM_SHA_512),
    "without TLS": a_sasl_plaintext,
    "client certificate": lambda s: s.mutual("right"),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_every_client_connects(secured: Secured, name: str) -> None:
    connection = RIGHT[name](secured)
    await check(connection)
    await declare_topics(connection, partitions=2, replication_factor=1, retention_days=1)
    publisher = TransactionalPublisher(
        connection, IMPORT_EVENTS, f"test of {name}", transactions=True
    )
    async with (
        publisher.opened() as opened,
        producing(connection),
        open_topic_reader(connection),
        watching_lag(connection, f"group of {name}"),
    ):
        assert opened.committed is None
    assert await published_seals(connection) == []


@pytest.mark.parametrize("name", ["SCRAM-SHA-512", "client certificate"])
async def test_a_sync_runs_through_a_secured_broker(
    secured: Secured, database_url: str, name: str
) -> None:
    async with the_line(RIGHT[name](secured), database_url, transactions=True) as line:
        run = await line.sync(a_request("demo2026", conference_window()))
    assert run["status"] == "completed"


WRONG: dict[str, tuple[Make, str, str]] = {
    "password by PLAIN": (
        lambda s: s.sasl(password="wr0ng"),
        "KAFKA_SASL_PASSWORD",
        "wrong user name or password",
    ),
    "password by SCRAM": (
        lambda s: s.sasl(SaslMechanism.SCRAM_SHA_512, password="wr0ng"),
        "KAFKA_SASL_PASSWORD",
        "wrong user name or password",
    ),
    "user": (
        lambda s: s.sasl(SaslMechanism.SCRAM_SHA_256, username="nobody"),
        "KAFKA_SASL_PASSWORD",
        "'nobody'",
    ),
    "mechanism": (
        lambda s: KafkaConnection(
            s.broker.secured_address(SASL_PLAINTEXT),
            SecurityProtocol.SASL_PLAINTEXT,
            SaslMechanism.PLAIN,
            USER.name,
            USER.password,
        ),
        "KAFKA_SASL_MECHANISM",
        "does not offer PLAIN",
    ),
    "authority": (
        lambda s: s.sasl(ca_file=s.stranger.ca_file),
        "KAFKA_CA_FILE",
        "is not trusted",
    ),
    "expired certificate": (lambda s: s.tls(EXPIRED), "KAFKA_BOOTSTRAP_SERVERS", "has expired"),
    "certificate of another host": (
        lambda s: s.tls(ELSEWHERE),
        "KAFKA_BOOTSTRAP_SERVERS",
        "for another host",
    ),
    "no client certificate": (
        lambda s: s.tls(MUTUAL),
        "KAFKA_CERTIFICATE_FILE",
        "asks for a certificate",
    ),
    "expired client certificate": (
        lambda s: s.mutual("expired"),
        "KAFKA_CERTIFICATE_FILE",
        "refuses the certificate",
    ),
    "client certificate of a stranger": (
        lambda s: s.mutual("stranger"),
        "KAFKA_CERTIFICATE_FILE",
        "refuses the certificate",
    ),
    "plain client on a TLS port": (
        lambda s: KafkaConnection(s.broker.secured_address(SASL_SSL)),
        "KAFKA_SECURITY_PROTOCOL",
        "it is PLAINTEXT",
    ),
    "client without a user on a SASL port": (
        lambda s: KafkaConnection(s.broker.secured_address(SASL_PLAINTEXT)),
        "KAFKA_SECURITY_PROTOCOL",
        "it is PLAINTEXT",
    ),
    "TLS client on a plain port": (
        lambda s: replace(s.tls(MUTUAL), bootstrap_servers=s.broker.address),
        "KAFKA_SECURITY_PROTOCOL",
        "it is SSL",
    ),
    "user on a port without users": (
        lambda s: KafkaConnection(
            s.broker.address,
            SecurityProtocol.SASL_PLAINTEXT,
            SaslMechanism.PLAIN,
            USER.name,
            USER.password,
        ),
        "KAFKA_SECURITY_PROTOCOL",
        "asks for no user",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_setting_is_named_with_its_variable(secured: Secured, name: str) -> None:
    make, variable, cause = WRONG[name]
    connection = make(secured)
    publisher = TransactionalPublisher(
        connection, IMPORT_EVENTS, "test of errors", transactions=True
    )
    clients = {
        "producer": producing(connection),
        "consumer and admin": open_topic_reader(connection),
        "group": watching_lag(connection, "test of errors"),
        "transactional producer": publisher.opened(),
    }
    for client, opened in clients.items():
        async with asyncio.timeout(ANSWER_SECONDS):
            with pytest.raises(KafkaAccessError) as caught:
                async with opened:
                    raise AssertionError(f"the {client} is taken")
        said = str(caught.value)
        assert f"SPREAVIEW_{variable}" in said, client
        assert cause in said, client
        assert caught.value.variable == f"SPREAVIEW_{variable}"
        assert not {"wr0ng", USER.password} & set(said.split())
        assert is_kafka_outage(caught.value), "credentials are replaced on servers that run"


async def test_a_broker_that_is_down_is_not_called_wrong(secured: Secured) -> None:
    nowhere = KafkaConnection(f"127.0.0.1:{free_port()}")
    with pytest.raises(Exception, match="the connection was refused") as caught:
        async with producing(nowhere):
            pass
    assert not isinstance(caught.value, KafkaAccessError)


async def test_one_bootstrap_server_of_two_is_enough(secured: Secured) -> None:
    servers = f"127.0.0.1:{free_port()},{secured.broker.secured_address(SASL_SSL)}"
    await check(replace(secured.sasl(), bootstrap_servers=servers))


@pytest.mark.parametrize(
    "command",
    [
        ("dlq", "list"),
        ("relay", "status"),
        ("seals", "export", "--output", "seals.jsonl"),
        (
            *("request", "--organization-id", "5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d"),
            *("--event-id", "a1b2c3d4-0000-4000-8000-000000000001", "--api-id", "demo2026"),
            *("--from", "2026-05-28", "--to", "2026-05-29", "--time-zone", "Europe/Vienna"),
        ),
    ],
    ids=lambda command: command[0],
)
async def test_the_commands_take_the_settings_and_report_wrong_ones(
    secured: Secured, database_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("wr0ng-passw0rd\n", "utf-8")
    settings = {
        "database_url": database_url,
        "kafka_bootstrap_servers": secured.broker.secured_address(SASL_SSL),
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_sasl_username": USER.name,
        "kafka_ca_file": str(secured.authority.ca_file),
    }
    wrong = environment(**settings, kafka_sasl_password_file=str(password_file))
    done = await asyncio.to_thread(run, *command, env=wrong)
    assert done.returncode == 1
    assert "wrong user name or password. Check SPREAVIEW_KAFKA_SASL_PASSWORD" in done.stderr
    if command == ("relay", "status"):
        documented("Kafka refuses the user", done.stderr.removeprefix("spreaview-sync: "))
    for never in ("Traceback", "wr0ng-passw0rd", "does not answer"):
        assert never not in done.stderr


async def test_services_log_what_they_wait_for_and_then_continue(
    secured: Secured, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    late = User("comes-late", "its-password")
    connection = secured.sasl(
        SaslMechanism.SCRAM_SHA_256, username=late.name, password=late.password
    )
    port = free_port()
    settings = Settings(health_port=port, health_period_seconds=0.1, database_pool=8)
    addresses = Addresses(database_url, connection, "http://127.0.0.1:9")
    taken = asyncio.Event()

    async def serve() -> None:
        async with running(Role.WORKER | Role.PROJECTOR, settings, addresses):
            taken.set()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    try:
        async with asyncio.timeout(ANSWER_SECONDS), httpx.AsyncClient() as client:
            detail = ""
            while "SPREAVIEW_KAFKA_SASL_PASSWORD" not in detail:
                detail = await kafka_detail(client, port)
        assert "'comes-late'" in detail
        lines = [r.getMessage() for r in caplog.records if "comes-late" in r.getMessage()]
        assert len(lines) == 1, "logged once for all attempts"
        assert lines[0].startswith("Kafka is failing; ")
        assert late.password not in caplog.text
        await asyncio.to_thread(add_user, secured.broker.address, late)
        async with asyncio.timeout(PATIENCE):
            await taken.wait()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def kafka_detail(client: httpx.AsyncClient, port: int) -> str:
    """The state of Kafka in `/ready`; empty before the first check."""
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.TransportError:
        await asyncio.sleep(0.02)
        return ""
    assert answer.status_code == 503
    found = answer.json()["components"].get("Kafka", {"ok": True, "detail": ""})
    return "" if found["ok"] else str(found["detail"])


def add_user(address: str, user: User) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    added = UserScramCredentialUpsertion(user.name, mechanism, user.password.encode())
    for answer in admin.alter_user_scram_credentials([added]).values():
        answer.result(PATIENCE)
