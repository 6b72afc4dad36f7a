"""A pooler is recognised where a session is needed; a replica answers commands that only read."""

import asyncio
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cli.connections import DatabaseAddress, database, leader_connection, plain_connection
from cli.doctor.findings import problem
from cli.doctor.installation import Installation
from cli.doctor.servers import sessions
from cli.runfile import resolve
from cli.sandbox.conference import conference_window
from cli.sandbox.postgres import postgres
from cli.sandbox.stack import for_own_servers, sandbox
from cli.servers import refuse_pooler_at
from cli.settings import Settings
from eventstore.connection import DIRECT_VARIABLE, READ_VARIABLE, DatabaseAccessError
from eventstore.errors import is_database_outage
from eventstore.pooler import PoolerError, refuse_pooler, shares_sessions
from tests.support.line import ORGANIZATION, the_line
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import environment, run
from tests.support.replica import streaming_replica
from tests.support.roles import logins

pytestmark = pytest.mark.asyncio

IGNORED = "extra_float_digits,idle_in_transaction_session_timeout"


async def command(*words: str, **settings: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(run, *words, env=environment(**settings))


async def test_connections_to_postgresql_itself_have_sessions_of_their_own(
    database_url: str,
) -> None:
    assert not await shares_sessions(partial(plain_connection, DatabaseAddress(database_url)))


async def test_a_transaction_pooler_is_recognised(database_url: str) -> None:
    async with pgbouncer(database_url) as pooled:
        address = DatabaseAddress(pooled, DIRECT_VARIABLE)
        for _ in range(3):
            with pytest.raises(PoolerError, match=f"^{DIRECT_VARIABLE} leads to a transaction po"):
                await refuse_pooler(partial(plain_connection, address), DIRECT_VARIABLE)


async def test_a_replica_is_refused_as_the_direct_address_until_it_is_promoted(
    own_kafka: str, tmp_path: Path
) -> None:
    async with (
        postgres(tmp_path / "primary", settings={"fsync": "off"}) as url,
        streaming_replica(url, tmp_path) as replica,
        database(url, pool_size=1) as engine,
    ):
        address = DatabaseAddress(replica.url, DIRECT_VARIABLE)
        for opened in (refuse_pooler_at(address), leader_connection(*address)):
            with pytest.raises(DatabaseAccessError) as refused:
                await opened
            assert str(refused.value) == (
                f"{DIRECT_VARIABLE} leads to a replica. Remedy: set it to the primary"
            )
            assert is_database_outage(refused.value), "services wait, since it may be promoted"
        settings = Settings(
            database_url=url,
            direct_database_url=replica.url,
            kafka_bootstrap_servers=own_kafka,
        )
        installation = Installation(settings, resolve(settings), engine)
        assert await sessions(installation) == [
            problem(f"{DIRECT_VARIABLE} leads to a replica", "set it to the primary")
        ]
        await replica.promote()
        await refuse_pooler_at(address)
        (await leader_connection(*address)).terminate()


@pytest.mark.parametrize("words", [("worker",), ("projections", "generations")], ids=" ".join)
async def test_a_pooler_is_named_where_a_session_is_needed(
    words: tuple[str, ...], database_url: str
) -> None:
    async with pgbouncer(database_url, ignored=IGNORED) as pooled:
        done = await command(*words, database_url=pooled, kafka_bootstrap_servers="127.0.0.1:1")
    assert done.returncode == 2
    assert "SPREAVIEW_DATABASE_URL leads to a transaction pooler" in done.stderr
    assert f"set {DIRECT_VARIABLE} to the address of PostgreSQL itself" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_parameter_that_a_pooler_refuses_is_named(database_url: str) -> None:
    async with pgbouncer(database_url) as pooled:
        done = await command("projections", "status", database_url=pooled)
    assert done.returncode == 1
    assert "idle_in_transaction_session_timeout" in done.stderr
    assert "ignore_startup_parameters" in done.stderr


async def test_a_rebuild_past_the_pooler(database_url: str) -> None:
    async with pgbouncer(database_url, ignored=IGNORED) as pooled:
        settings = {"database_url": pooled, "direct_database_url": database_url}
        done = await command("projections", "rebuild", **settings)
    assert done.returncode == 0, done.stderr


async def test_up_has_the_addresses_of_the_services(
    own_kafka: str, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path,
        database_url=database_url,
        direct_database_url=f"{database_url}?application_name=direct",
        kafka_bootstrap_servers=own_kafka,
        kafka_transactions=False,
    )
    async with sandbox(for_own_servers(settings)) as addresses:
        stand_in = addresses.sessionize_base_url
    assert addresses == resolve(settings)._replace(sessionize_base_url=stand_in)
    assert addresses.for_sessions == DatabaseAddress(
        f"{database_url}?application_name=direct", DIRECT_VARIABLE
    )


async def test_a_waiting_request_reads_from_the_replica(own_kafka: str, database_url: str) -> None:
    window = conference_window()
    async with the_line(own_kafka, database_url):
        request = (
            *("request", "--wait", "--event-id", "00000000-0000-4000-8000-000000000009"),
            *("--organization-id", str(ORGANIZATION), "--api-id", "demo2026"),
            *("--from", str(window.starts_on), "--to", str(window.ends_on)),
            *("--time-zone", window.time_zone),
        )
        urls = await logins(database_url)
        servers = {"kafka_bootstrap_servers": own_kafka, "database_url": urls["worker"]}
        done = await command(*request, **servers, read_database_url=urls["reader"])
        assert done.returncode == 0, done.stderr
        gone = await command(*request, **servers, read_database_url="postgresql://u@127.0.0.1:1/x")
    assert gone.returncode == 1
    assert f"check {READ_VARIABLE} and the server" in gone.stderr


async def test_a_direct_address_without_a_database_is_refused(database_url: str) -> None:
    done = await command("worker", direct_database_url=database_url)
    assert done.returncode == 2
    assert f"{DIRECT_VARIABLE} is set, but SPREAVIEW_DATABASE_URL is not" in done.stderr
