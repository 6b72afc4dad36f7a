"""The migrations make the definitions that verification expects, on two versions of the server."""

import tempfile
from pathlib import Path

import pytest

from audit.verify.catalogue import expected_catalogue
from cli.sandbox.postgres import postgres
from tests.support.catalogue import migrated_catalogue
from tests.support.tls_postgres import debian_programs

pytestmark = pytest.mark.asyncio

RENEW = "the migrations make other definitions: make catalogue"


async def test_the_expected_definitions_are_those_of_the_migrations(database_url: str) -> None:
    assert await migrated_catalogue(database_url) == expected_catalogue(), RENEW


async def test_another_version_of_postgresql_gives_the_same_definitions() -> None:
    programs = debian_programs()
    with tempfile.TemporaryDirectory(prefix="catalogue-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for within_reach in (Path(folder), data):  # of the server's user, before version 16
            within_reach.chmod(0o755)
        async with postgres(data, programs=programs, settings={"fsync": "off"}) as url:
            assert await migrated_catalogue(url) == expected_catalogue(), RENEW
