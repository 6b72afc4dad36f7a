"""0.1.0 and this version: on each other's databases, and replaced by each other under load."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.verify.verify import verify
from cli.connections import database
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.schema_version import NEEDED
from projections.added_columns import add_columns
from projections.prepare import prepare
from tests.support.freeze import EVENT, version
from tests.support.frozen import load_database
from tests.support.line import rows
from tests.support.upgrading import EARLIER, UpgradeSize, upgrade

pytestmark = pytest.mark.asyncio

SHORT = UpgradeSize(requests=24, events=5, each=1, rest_seconds=1.0, settle_seconds=60)


async def test_an_upgrade_under_load_loses_nothing(tmp_path: Path) -> None:
    """A worker of this version waits for the migration, and one of 0.1.0 refuses after it."""
    done = await upgrade(1, SHORT, tmp_path)

    print(f"{done.requests} requests, {done.completed} completed in {done.seconds:.0f} s")
    assert not done.findings, done.findings.found
    assert done.settled
    assert done.requests == SHORT.requests
    assert set(done.versions) == {EARLIER, version()}, "both versions have worked"
    assert done.refused.startswith("1: ")
    assert "this program is older than the database" in done.refused


async def test_the_database_of_0_1_0_is_migrated_and_verifies(
    engine: AsyncEngine, postgres_url: str
) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CREATE DATABASE earlier"))
    url = f"{postgres_url.rpartition('/')[0]}/earlier"
    await load_database(EARLIER, url)
    async with database(url, pool_size=2) as earlier:
        before = [event async for event in EventLog(earlier).read_stream(EVENT)]
        sessions = await rows(earlier, "sessions", EVENT)
        await add_columns(earlier)
        migrated = await migrate(earlier)
        await prepare(earlier)

        assert (migrated.before, migrated.after) == ("0006", NEEDED)
        assert [event async for event in EventLog(earlier).read_stream(EVENT)] == before
        assert await rows(earlier, "sessions", EVENT) == sessions
        assert (await verify(earlier)).findings == []
