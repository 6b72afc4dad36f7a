"""Fixtures that every test may use. Servers are real and live as long as the test run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.restored import confirm_place
from projections.prepare import prepare
from tests.support.apache_kafka import apache_kafka as apache_kafka

TEMPLATE = "migrated"


@pytest.fixture(autouse=True, scope="session")
def _logging() -> None:
    configure_logging("INFO", "console")


@pytest_asyncio.fixture(scope="session")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A PostgreSQL server; its database is a migrated one that others are copied from."""
    data_dir: Path = tmp_path_factory.mktemp("postgres")
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    async with postgres(data_dir / "data", settings=settings, database=TEMPLATE) as url:
        async with database(url, pool_size=2) as engine:
            await migrate(engine)
            await prepare(engine)
        yield url


@asynccontextmanager
async def _own_database(postgres_url: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    server, _, _ = postgres_url.rpartition("/")
    async with database(f"{server}/postgres", pool_size=2) as engine:
        await _administer(engine, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        # A copy is another log.
        async with database(f"{server}/{name}", pool_size=2) as own, own.begin() as connection:
            await connection.execute(text("UPDATE event_store.log SET log_id = gen_random_uuid()"))
            await confirm_place(connection)
        yield f"{server}/{name}"
        await _administer(engine, f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(engine: AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))


@pytest_asyncio.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    async with _own_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture(scope="module")
async def module_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A migrated database of the module's own."""
    async with _own_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with database(database_url, pool_size=20) as engine:
        yield engine


@pytest_asyncio.fixture
async def log(engine: AsyncEngine) -> EventLog:
    return EventLog(engine)


@pytest_asyncio.fixture(scope="module")
async def module_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The sandbox's broker, one for the module."""
    async with kafka(log_path=tmp_path_factory.mktemp("kafka") / "kafka.log") as address:
        yield address


@pytest_asyncio.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[str]:
    """The sandbox's broker, one for the test."""
    async with kafka(log_path=tmp_path / "kafka.log") as address:
        yield address
