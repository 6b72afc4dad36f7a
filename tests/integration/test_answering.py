"""Commands report in one sentence why the database does not answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

SOME_ID = str(uuid4())
COMMANDS = (
    ("history", SOME_ID),
    ("explain", SOME_ID, "1"),
    ("source", "show", SOME_ID),
    ("verify",),
    ("export",),
    ("replay", "--name", "x"),
    ("erase-speaker", "--organization-id", SOME_ID, "--speaker", "ada", "--yes"),
    ("erase-speaker", "--organization-id", SOME_ID, "--speaker", "ada", "--lift"),
    ("projections", "status"),
    ("projections", "generations"),
)


async def answers_from(url: str) -> list[str]:
    """Return the standard error of every command: only a sentence and a remedy."""
    env = environment(database_url=url)
    ran = await asyncio.gather(*(asyncio.to_thread(run, *command, env=env) for command in COMMANDS))
    for command, done in zip(COMMANDS, ran, strict=True):
        assert (done.returncode, done.stdout) == (1, ""), command
        assert done.stderr.startswith("spreaview-sync: "), (command, done.stderr)
        assert len(done.stderr.splitlines()) <= 2, (command, done.stderr)
    return [done.stderr for done in ran]


async def test_a_database_that_is_down() -> None:
    for said in await answers_from("postgresql://u:s3cret@127.0.0.1:1/x"):
        assert "does not answer" in said
        assert "Remedy: " in said
        assert "s3cret" not in said


async def test_a_database_that_is_not_migrated(empty_url: str) -> None:
    for said in await answers_from(empty_url):
        assert "spreaview-sync migrate" in said


@pytest_asyncio.fixture
async def empty_url(database_url: str) -> AsyncIterator[str]:
    server, _, _ = database_url.rpartition("/")
    name = f"empty_{uuid4().hex}"
    async with (
        database(f"{server}/postgres", pool_size=1) as elsewhere,
        elsewhere.connect() as connection,
    ):
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE DATABASE {name}"))
        yield f"{server}/{name}"
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_a_role_that_may_not_read(engine: AsyncEngine, database_url: str) -> None:
    role = f"stranger_{uuid4().hex}"
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    for said in await answers_from(database_url.replace("//postgres@", f"//{role}@")):
        assert "refuses" in said
        assert "Remedy: grant" in said


@pytest.mark.parametrize("command", [("replay", "--name", "x"), ("export",)])
async def test_a_file_that_cannot_be_written(
    engine: AsyncEngine, database_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    nowhere = tmp_path / "missing" / "file"
    env = environment(database_url=database_url)
    done = await asyncio.to_thread(run, *command, "--output", str(nowhere), env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"spreaview-sync: {nowhere}")
    assert "No such file or directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1
