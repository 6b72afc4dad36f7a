"""Freezing a version: what it writes can be loaded, and holds the source of the product."""

import asyncio
import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from eventstore.log import EventLog
from eventstore.schema_version import NEEDED
from tests.support.freeze import (
    EVENT,
    PACKAGES,
    files,
    freeze,
    program_folder,
    source_archive,
    version,
)


def test_the_archive_holds_the_product_and_is_always_the_same() -> None:
    archive = source_archive()

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as unpacked:
        names = [name.removeprefix(f"spreaview-sync-{version()}/") for name in unpacked.getnames()]
    assert {name.partition("/")[0] for name in names} >= {*PACKAGES, "requirements"}
    assert not [name for name in names if name.startswith("tests/")]
    assert source_archive() == archive


@pytest.mark.asyncio
async def test_a_frozen_database_can_be_loaded(postgres_url: str, engine: AsyncEngine) -> None:
    frozen = await files()

    server = postgres_url.rpartition("/")[0]
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CREATE DATABASE thawed"))
    for name in ("schema.sql", "data.sql"):
        await asyncio.to_thread(load, f"{server}/thawed", frozen[name])
    async with database(f"{server}/thawed", pool_size=2) as thawed:
        types = [event.type async for event in EventLog(thawed).read_stream(EVENT)]
        async with thawed.connect() as loaded:
            found = await loaded.execute(text("SELECT version_num FROM event_store.schema_version"))
            assert found.scalar_one() == NEEDED
            topics = await loaded.execute(text("SELECT topics FROM spreaview.sessions"))
            assert [{"category": "Track", "topic": "Data"}] in list(topics.scalars())
    assert {"SpeakerErased", "SyncFailed", "SessionWithdrawn"} <= set(types)
    assert b"session-imported" in frozen["log.jsonl"]


def load(url: str, script: bytes) -> None:
    command = [str(program_folder() / "psql"), "-q", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(command, input=script, check=True, capture_output=True)


def test_a_frozen_version_is_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "0.1.0").mkdir()

    with pytest.raises(FileExistsError):
        freeze(tmp_path / "0.1.0")
