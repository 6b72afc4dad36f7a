"""PostgreSQL with TLS: libpq's parameters work for every connection, and what is wrong is named."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from cli.connections import Addresses, database, leader_connection
from cli.services import Role, running
from cli.settings import Settings
from eventstore.connection import DatabaseAccessError
from eventstore.errors import is_database_outage
from eventstore.leadership import who_leads
from eventstore.server_facts import server_facts
from eventstore.wakeup import CHANNEL
from messaging.connection import KafkaConnection
from tests.support.certificates import Authority, Certificate
from tests.support.ports import free_port
from tests.support.processes import environment, run
from tests.support.tls_postgres import CERTIFIED, PASSWORD, USER, tls_postgres

pytestmark = pytest.mark.asyncio

ANSWER_SECONDS = 5.0


class Secured(NamedTuple):
    """A server, one whose certificate has expired, and what their clients need."""

    address: str
    expired: str
    authority: Authority
    stranger: Authority
    """Another authority, which neither side trusts."""
    certificates: dict[str, Certificate]
    """Of clients."""

    def url(
        self,
        parameters: str = "",
        *,
        password: str = PASSWORD,
        database: str = "spreaview",
        address: str | None = None,
    ) -> str:
        login = f"{USER}:{quote(password, safe='')}"
        return f"postgresql://{login}@{address or self.address}/{database}?{parameters}"

    @property
    def verified(self) -> str:
        return f"sslmode=verify-full&sslrootcert={self.authority.ca_file}"

    def certified(self, name: str | None) -> str:
        shown = ""
        if name is not None:
            certificate, key = self.certificates[name]
            shown = f"&sslcert={certificate}&sslkey={key}"
        return f"postgresql://{CERTIFIED}@{self.address}/spreaview?{self.verified}{shown}"


@pytest_asyncio.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder: Path = tmp_path_factory.mktemp("secured-postgres")
    authority, stranger = Authority(folder / "ours"), Authority(folder / "theirs", "a stranger")
    certificates = {
        "right": authority.issue(CERTIFIED),
        "other": authority.issue("somebody-else"),
        "expired": authority.issue("expired-client", expired=True),
        "stranger": stranger.issue("stranger"),
    }
    async with (
        tls_postgres(authority, authority.issue("server")) as address,
        tls_postgres(authority, authority.issue("expired-server", expired=True)) as expired,
    ):
        yield Secured(address, expired, authority, stranger, certificates)


Make = Callable[[Secured], str]

RIGHT: dict[str, Make] = {
    "no parameter": lambda s: s.url(),
    "require": lambda s: s.url("sslmode=require"),
    "verify-ca": lambda s: s.url(f"sslmode=verify-ca&sslrootcert={s.authority.ca_file}"),
    "verify-full": lambda s: s.url(s.verified),
    "client certificate": lambda s: s.certified("right"),
    "the second of two hosts": lambda s: s.url(
        "sslmode=require&target_session_attrs=read-write",
        address=f"127.0.0.1:{free_port()},{s.address}",
    ),
    "the old scheme": lambda s: s.url("sslmode=require").replace("postgresql:", "postgres:"),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_every_connection_is_encrypted(secured: Secured, name: str) -> None:
    url = RIGHT[name](secured)
    is_encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    async with database(url, pool_size=1) as engine, engine.connect() as connection:
        assert await connection.scalar(text(is_encrypted)) is True
        assert (await server_facts(connection)).is_encrypted
    leader = await leader_connection(url)
    try:
        assert await leader.fetchval(is_encrypted) is True
        heard = asyncio.Event()
        await leader.add_listener(CHANNEL, lambda *_: heard.set())
        await leader.execute(f"NOTIFY {CHANNEL}")
        async with asyncio.timeout(ANSWER_SECONDS):
            await heard.wait()
    finally:
        await leader.close()


async def test_parameters_reach_the_server(secured: Secured) -> None:
    url = secured.url(
        f"{secured.verified}&application_name=import%20job&connect_timeout=3"
        "&options=-c%20statement_timeout%3D7s"
    )
    shown = "SELECT current_setting('application_name'), current_setting('statement_timeout')"
    async with database(url, pool_size=1) as engine, engine.connect() as connection:
        assert tuple((await connection.execute(text(shown))).one()) == ("import job", "7s")
    leader = await leader_connection(url)
    try:
        name, _ = await leader.fetchrow(shown)
    finally:
        await leader.close()
    assert name.startswith("import job relay "), "says which process leads"


async def test_migrate_runs_with_a_verified_certificate_and_a_url_from_a_file(
    secured: Secured, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text(secured.url(secured.verified) + "\n", "utf-8")
    done = await asyncio.to_thread(run, "migrate", env=environment(database_url_file=str(file)))
    assert (done.returncode, done.stderr) == (0, "")
    nobody = await who_leads(lambda: leader_connection(secured.url(secured.verified)))
    assert nobody is None


WRONG: dict[str, tuple[Make, str]] = {
    "password": (
        lambda s: s.url(s.verified, password="wr0ng"),
        "password authentication failed for user",
    ),
    "password without a mode": (
        lambda s: s.url(password="wr0ng"),
        "password authentication failed for user",
    ),
    "database": (
        lambda s: s.url(s.verified, database="nowhere"),
        'database "nowhere" does not exist',
    ),
    "authority": (
        lambda s: s.url(f"sslmode=verify-full&sslrootcert={s.stranger.ca_file}"),
        "its sslrootcert must hold the authority",
    ),
    "authorities of the system": (
        lambda s: s.url("sslrootcert=system"),
        "its sslrootcert must hold the authority",
    ),
    "expired certificate": (
        lambda s: s.url(s.verified, address=s.expired),
        "certificate has expired",
    ),
    "name of the server": (
        lambda s: s.url(s.verified, address=s.address.replace("127.0.0.1", "localhost")),
        "its host must be the name in the certificate",
    ),
    "plain client on a TLS port": (
        lambda s: s.url("sslmode=disable"),
        "its sslmode, since the server may take encrypted connections only",
    ),
    "no client certificate": (lambda s: s.certified(None), "its sslcert and sslkey"),
    "client certificate of another user": (
        lambda s: s.certified("other"),
        "its sslcert and sslkey",
    ),
    "expired client certificate": (lambda s: s.certified("expired"), "its sslcert"),
    "client certificate of a stranger": (lambda s: s.certified("stranger"), "its sslcert"),
    "key of another certificate": (
        lambda s: (
            s.certified("right").rpartition("&")[0] + f"&sslkey={s.certificates['other'].key}"
        ),
        "sslkey",
    ),
    "file that is not there": (
        lambda s: s.url("sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
        "/nowhere/ca.pem cannot be read: No such file or directory",
    ),
    "kind of server": (
        lambda s: s.url("sslmode=require&target_session_attrs=standby"),
        "its target_session_attrs",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_parameter_is_named(secured: Secured, name: str) -> None:
    make, cause = WRONG[name]
    url = make(secured)

    async def by_the_pool() -> None:
        async with database(url, pool_size=1) as engine, engine.connect():
            pass

    async def by_the_leader() -> None:
        await leader_connection(url)

    for opened in (by_the_pool, by_the_leader):
        began = time.monotonic()
        with pytest.raises(DatabaseAccessError) as caught:
            await opened()
        assert time.monotonic() - began < ANSWER_SECONDS
        said = str(caught.value)
        assert "SPREAVIEW_DATABASE_URL" in said
        assert cause in said
        assert "wr0ng" not in said
        assert len(said.splitlines()) == 1
        assert is_database_outage(caught.value), "credentials are replaced on servers that run"


async def test_a_server_without_tls_is_named(postgres_url: str) -> None:
    with pytest.raises(DatabaseAccessError, match=r"does not offer TLS.* its sslmode"):
        await leader_connection(f"{postgres_url}?sslmode=require")


async def test_a_server_that_is_down_is_not_called_wrong() -> None:
    with pytest.raises(ConnectionRefusedError):
        await leader_connection(f"postgresql://u@127.0.0.1:{free_port()}/x?sslmode=require")


async def test_a_command_reports_a_wrong_password(secured: Secured) -> None:
    env = environment(database_url=secured.url(secured.verified, password="wr0ng-passw0rd"))
    done = await asyncio.to_thread(run, "projections", "status", env=env)
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr
    assert "Check SPREAVIEW_DATABASE_URL" in done.stderr
    for never in ("wr0ng-passw0rd", "does not answer", "Traceback"):
        assert never not in done.stderr


async def test_a_service_logs_why_the_database_refuses_it(
    secured: Secured, own_kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    settings = Settings(health_port=port, health_period_seconds=0.1)
    url = secured.url(secured.verified, password="wr0ng-passw0rd")
    addresses = Addresses(url, KafkaConnection(own_kafka), "http://127.0.0.1:9", False)

    async def serve() -> None:
        async with running(Role.WORKER, settings, addresses):
            raise AssertionError("the database is taken")

    serving = asyncio.create_task(serve())
    try:
        async with asyncio.timeout(ANSWER_SECONDS), httpx.AsyncClient() as client:
            shown = ""
            while "Check SPREAVIEW_DATABASE_URL" not in shown:
                shown = await not_ready(client, port)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    assert "password authentication failed" in shown
    assert "Check SPREAVIEW_DATABASE_URL" in caplog.text
    assert "wr0ng-passw0rd" not in shown + caplog.text


async def not_ready(client: httpx.AsyncClient, port: int) -> str:
    """The body of `/ready`; nothing as long as nobody listens."""
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.TransportError:
        await asyncio.sleep(0.02)
        return ""
    assert answer.status_code == 503
    return answer.text


async def test_the_server_takes_no_other_way_in(secured: Secured) -> None:
    """The server of these tests refuses what they call wrong: else they would show nothing."""
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(secured.url("sslmode=disable"))
