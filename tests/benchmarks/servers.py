"""The servers of a run: PostgreSQL with fsync on, and Apache Kafka, both on 127.0.0.1."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.apache_kafka import own_broker

_SETTINGS = {"fsync": "on", "synchronous_commit": "on", "max_wal_size": "4GB"}


class Database(NamedTuple):
    """A migrated database of one row."""

    url: str
    engine: AsyncEngine


class Servers:
    """Opens databases and brokers for the rows of one run; all end with it."""

    def __init__(self, folder: Path, postgres_url: str, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._postgres_url = postgres_url
        self._stack = stack
        self._kafka: str | None = None

    @asynccontextmanager
    async def database(self, *, pool_size: int = 10) -> AsyncIterator[Database]:
        """Create a database, and drop it after the block."""
        name = f"bench_{uuid4().hex[:8]}"
        url = f"{self._postgres_url.rsplit('/', 1)[0]}/{name}"
        await self._execute(f"CREATE DATABASE {name}")
        try:
            async with database(url, pool_size=pool_size) as engine:
                await migrate(engine)
                await prepare(engine)
                yield Database(url, engine)
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def kafka(self) -> str:
        """Return the address of the run's broker. The first call starts it."""
        if self._kafka is None:
            folder = self.folder / "kafka"
            folder.mkdir()
            self._kafka = (await self._stack.enter_async_context(own_broker(folder))).address
        return self._kafka

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._postgres_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Servers]:
    """Run PostgreSQL, and later Kafka, while the block runs; their data are in `folder`."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres(folder / "postgres", settings=_SETTINGS))
        yield Servers(folder, url, stack)
