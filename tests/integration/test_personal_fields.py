"""The personal fields are listed once, in the models: every other place derives them from there."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from tests.support.personal_fields import places_that_miss_a_field
from tests.support.processes import PATIENCE, ROOT

pytestmark = pytest.mark.asyncio

PACKAGES = (
    "audit",
    "cli",
    "contracts",
    "eventstore",
    "messaging",
    "projections",
    "tests",
    "worker",
)
NEW_FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "contracts/events.py": (
        (
            "    links: Annotated[tuple[Link, ...] | None, _PERSONAL] = None\n",
            "    nickname: PersonalText = None\n",
        ),
        ("    requested_by: PersonalText = None\n", "    requested_from: PersonalText = None\n"),
    ),
    "worker/rules/document.py": (
        ("    bio: str | None = None\n", "    nickname: str | None = None\n"),
    ),
    "worker/rules/normalise.py": (
        (
            '        bio=fields.text("bio", source.bio),\n',
            '        nickname=fields.text("nickname", source.nickname),\n',
        ),
    ),
    "projections/sql/tables.sql": (
        ("    links              jsonb,\n", "    nickname text,\n"),
        ("    requested_by       text,\n", "    requested_from text,\n"),
    ),
    "projections/sql/views.sql": (
        ("is_top_speaker, status, position", ", nickname"),
        ("failure_remedy, retryable, position", ", requested_from"),
    ),
    "contracts/views.py": (
        (
            '    "status": "Whether the speaker is shown.",\n    "position": _POSITION,\n',
            '    "nickname": "Another name.",\n',
        ),
        (
            '            "retryable": "Whether the same request may succeed later.",\n'
            '            "position": _POSITION,\n',
            '            "requested_from": "Where they are.",\n',
        ),
    ),
}
"""All that a developer writes for two new personal fields, after lines that are there."""


@pytest_asyncio.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that no code has migrated yet."""
    server, _, _ = postgres_url.rpartition("/")
    name = f"test_{uuid4().hex}"
    async with (
        database(f"{server}/postgres", pool_size=1) as engine,
        engine.connect() as connection,
    ):
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE DATABASE {name}"))
        yield f"{server}/{name}"
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_every_place_knows_every_personal_field(engine: AsyncEngine) -> None:
    assert await places_that_miss_a_field(engine) == {}


async def test_every_place_knows_a_new_personal_field(
    empty_database_url: str, tmp_path: Path
) -> None:
    copy = copy_with_new_fields(tmp_path)
    found = await report_of(copy, empty_database_url)
    assert {"full_name", "nickname", "requested_by", "requested_from"} < set(found["fields"])
    assert found["missed"] == {}


def copy_with_new_fields(folder: Path) -> Path:
    """This program, with the new fields."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    for name, additions in NEW_FIELDS.items():
        source = (folder / name).read_text("utf-8")
        for line, addition in additions:
            assert line in source, f"{name} has no {line!r} any more: change this test with it"
            source = source.replace(line, line + addition)
        (folder / name).write_text(source, "utf-8")
    return folder


async def report_of(copy: Path, database_url: str) -> dict[str, Any]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.support.personal_fields", database_url],
        env={**os.environ, "PYTHONPATH": str(copy)},
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
