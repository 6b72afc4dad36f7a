"""Connections to PostgreSQL and Sessionize, opened with our settings and handed down."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from weakref import WeakSet

import asyncpg
import httpx
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cli.errors import CommandError
from eventstore.connection import (
    CLOSING_SECONDS,
    DIRECT_VARIABLE,
    VARIABLE,
    connect,
    transport_of,
)
from eventstore.libpq_url import without_password
from messaging.connection import KafkaConnection

NAME = "spreaview-sync"
"""Our name in `pg_stat_activity`, unless the URL has another one."""

_IDLE_IN_TRANSACTION = "30s"
_LEADER_IDLE = "3s"
"""A leader that is stuck for this long loses its lock: it has missed several heartbeats."""


_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 30_000,
}
"""A host that has been silent for half a minute counts as lost. A busy or stopped process does not
make its host silent: the kernel still answers."""


CONNECT_SECONDS = 10.0
"""Time limit to connect to Sessionize. An attempt as a whole has a limit of its own."""
_PROXIES = frozenset({"all_proxy", "http_proxy", "https_proxy"})


class DatabaseAddress(NamedTuple):
    """A URL of the database, and the variable that it is from."""

    url: str
    variable: str = VARIABLE


class Addresses(NamedTuple):
    """Where the servers are. The repr holds no secret."""

    database_url: str
    kafka: KafkaConnection
    sessionize_base_url: str
    kafka_transactions: bool = True
    """Whether the broker has transactions: Apache Kafka has, the sandbox's has not."""
    direct_database_url: str | None = None
    """The database past its transaction pooler; None if there is no pooler."""

    @property
    def for_sessions(self) -> "DatabaseAddress":
        """Where session locks and LISTEN work."""
        if self.direct_database_url is None:
            return DatabaseAddress(self.database_url)
        return DatabaseAddress(self.direct_database_url, DIRECT_VARIABLE)

    def __repr__(self) -> str:
        direct = self.direct_database_url
        shown = self._replace(
            database_url=without_password(self.database_url),
            direct_database_url=None if direct is None else without_password(direct),
        )
        return f"Addresses{tuple(shown)!r}"


@asynccontextmanager
async def database(
    url: str, pool_size: int, variable: str = VARIABLE
) -> AsyncIterator[AsyncEngine]:
    """An engine; its connections are closed at the end of the block, also if the server is frozen.

    Errors name `variable`, the setting that holds the URL.
    """
    engine = create_async_engine(
        URL.create("postgresql+asyncpg"),
        async_creator=partial(
            connect,
            url,
            application_name=NAME,
            server_settings={"idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION},
            variable=variable,
        ),
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # they hold personal data, and errors are logged
    )
    opened: WeakSet[asyncpg.Connection] = WeakSet()
    event.listen(engine.sync_engine, "connect", _keep_alive)
    event.listen(engine.sync_engine, "connect", lambda made, _: opened.add(made.driver_connection))
    try:
        yield engine
    finally:
        await _dispose(engine, opened)


async def _dispose(engine: AsyncEngine, opened: Iterable[asyncpg.Connection]) -> None:
    """Close the idle connections; drop all if the server does not confirm the end in time.

    SQLAlchemy closes one after the other, each without a time limit.
    """
    closing = asyncio.ensure_future(engine.dispose())
    try:
        await asyncio.wait({closing}, timeout=CLOSING_SECONDS)
    finally:
        if not closing.done():
            for connection in list(opened):
                connection.terminate()
        await closing


def _keep_alive(connection: Any, _: object) -> None:
    """Let the kernel detect a lost host while a statement waits for its answer.

    Without this the statement would wait forever. asyncpg has no public option for it.
    """
    connected = transport_of(connection.driver_connection).get_extra_info("socket")
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:  # some systems lack some options
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


async def plain_connection(address: DatabaseAddress) -> asyncpg.Connection:
    """Open a connection to the primary without session parameters: a pooler might refuse them.

    LISTEN needs the primary: a replica refuses it.
    """
    return await connect(
        address.url,
        application_name=NAME,
        server_settings={},
        variable=address.variable,
        to_primary=True,
    )


async def leader_connection(url: str, variable: str = VARIABLE) -> asyncpg.Connection:
    """A direct connection to the primary that carries the leadership.

    PostgreSQL ends its session if it is idle or lost. Its name in `pg_stat_activity` contains the
    host and process id of the leader.
    """
    return await connect(
        url,
        application_name=f"{NAME} relay {socket.gethostname()}:{os.getpid()}",
        server_settings={
            "idle_session_timeout": _LEADER_IDLE,
            "tcp_keepalives_idle": "2",
            "tcp_keepalives_interval": "1",
            "tcp_keepalives_count": "3",
        },
        variable=variable,
        to_primary=True,
    )


@asynccontextmanager
async def http_client(version: str, *, connections: int = 32) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for Sessionize with limits and our user agent.

    It follows no redirects and keeps no cookies, so no answer changes a later request. Only the
    time to connect is limited: the caller limits the request.

    `connections` is the number of concurrent requests; further ones would wait for a connection,
    and that wait counts as a part of the caller's time limit.

    Raises:
        CommandError: the environment names a proxy of a kind that is not supported.
    """
    try:
        client = httpx.AsyncClient(
            headers={
                "User-Agent": f"spreaview-sync/{version} (conference schedule import)",
                "Accept": "application/json",
            },
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            event_hooks={"response": [_without_location]},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:  # SOCKS needs another package
        raise _unusable_proxy() from error
    async with client:
        yield client


def _unusable_proxy() -> CommandError:
    """Name the variables that give a proxy, without their values: they may hold a password."""
    named = [name for name, value in os.environ.items() if name.lower() in _PROXIES and value]
    return CommandError(
        f"the HTTP proxy of {' or '.join(sorted(named)) or 'this system'} cannot be used\nRemedy: "
        "set it to an address that begins with http:// or https:// (SOCKS is not supported), or "
        "unset it"
    )


async def _without_location(response: httpx.Response) -> None:
    """Remove the target of a redirect: httpx reads it all the same, and fails if it is no URL."""
    response.headers.pop("location", None)
