"""Connections to PostgreSQL end in time while the server is frozen."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from cli.commands.token import write_token
from cli.connections import database, leader_connection
from cli.services import CLOSING_SECONDS
from eventstore.connection import CLOSING_SECONDS as CONNECTION_SECONDS
from eventstore.connection import Connect
from eventstore.leadership import Leadership, who_leads
from projections.http.tokens import Scope
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.services import Service, service
from tests.support.stalling import Stalling, stalling

pytestmark = pytest.mark.asyncio

CONNECTIONS = 4
SLACK_SECONDS = 3.0
"""For a machine that is busy with other work."""
IN_TIME_SECONDS = CONNECTION_SECONDS + SLACK_SECONDS


@pytest_asyncio.fixture
async def stalled(database_url: str) -> AsyncIterator[Stalling]:
    async with stalling(database_url) as behind:
        yield behind


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def use(
    stalled: Stalling, then: Callable[[], Awaitable[object]], connections: int = CONNECTIONS
) -> None:
    """Open connections, do something while they are idle, and close them."""
    async with database(stalled.url, pool_size=connections) as engine:
        opened = [await engine.connect() for _ in range(connections)]
        await asyncio.gather(*(connection.close() for connection in opened))
        await then()


async def test_idle_connections_are_dropped_together(
    stalled: Stalling, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    await asyncio.wait_for(use(stalled, stalled.freeze), CONNECTIONS * IN_TIME_SECONDS)
    assert time.monotonic() - began < IN_TIME_SECONDS
    assert errors(caplog) == []


async def test_a_cancelled_end_drops_the_connections_at_once(stalled: Stalling) -> None:
    frozen = asyncio.Event()

    async def freeze() -> None:
        await stalled.freeze()
        frozen.set()

    using = asyncio.create_task(use(stalled, freeze))
    await asyncio.wait_for(frozen.wait(), IN_TIME_SECONDS)
    assert await asyncio.wait({using}, timeout=CONNECTION_SECONDS / 4) == (set(), {using})
    using.cancel()
    assert await asyncio.wait({using}, timeout=CONNECTION_SECONDS / 4) == ({using}, set())
    assert using.cancelled()


async def depose(connect: Connect) -> None:
    async with Leadership(connect).deposing():
        pass


@pytest.mark.parametrize(("ask", "number"), [(who_leads, 1), (depose, 2)])
async def test_a_statement_about_the_leader_has_a_limit(
    stalled: Stalling, ask: Callable[[Connect], Awaitable[object]], number: int
) -> None:
    """The database freezes as soon as this number of connections is open."""
    opened: list[asyncpg.Connection] = []

    async def connect() -> asyncpg.Connection:
        opened.append(await leader_connection(stalled.url))
        if len(opened) == number:
            await stalled.freeze()
        return opened[-1]

    asking = asyncio.ensure_future(ask(connect))
    done, _ = await asyncio.wait({asking}, timeout=3 * IN_TIME_SECONDS)
    assert done
    assert isinstance(asking.exception(), ConnectionError)
    assert all(connection.is_closed() for connection in opened)


async def started(of: Service) -> None:
    """Wait until a service is ready for work."""
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{of.port}/ready")).is_success:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("role", ["worker", "projector", "api"])
async def test_a_service_stops_in_time(
    stalled: Stalling, module_kafka: str, tmp_path: Path, role: str
) -> None:
    """Its connections are idle, or wait for an answer."""
    write_token(tmp_path / "tokens.json", "reader", [Scope.READ], None)
    settings = {
        "database_url": stalled.url,
        "kafka_bootstrap_servers": module_kafka,
        "graceful_timeout": "1",
        "api_tokens_file": str(tmp_path / "tokens.json"),
        "http_port": str(free_port()),
    }
    with service(role, tmp_path, **settings) as running:
        await started(running)
        await stalled.freeze()
        running.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(running.process.wait, PATIENCE) == 0
        seconds = time.monotonic() - began
        assert "Traceback" not in running.log.read_text()
    assert seconds < 1 + CLOSING_SECONDS
