"""The servers of a run: PostgreSQL with fsync on, and Apache Kafka, both on 127.0.0.1."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    """Opens a database and a broker for each row of a run."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        self.folder = folder
        self._postgres_url = postgres_url

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

    @asynccontextmanager
    async def kafka(self) -> AsyncIterator[str]:
        """Run a broker while the block runs; yields its address.

        Each row has its own: the relay of another log would refuse to publish on its topics.
        """
        folder = Path(tempfile.mkdtemp(prefix="kafka-", dir=self.folder))
        async with own_broker(folder) as broker:
            yield broker.address

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._postgres_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Servers]:
    """Run PostgreSQL while the block runs; the data of all servers are in `folder`."""
    async with postgres(folder / "postgres", settings=_SETTINGS) as url:
        yield Servers(folder, url)
