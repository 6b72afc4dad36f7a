"""`python -m tests.support.freeze`: freeze this version as fixtures for tests of upgrades.

Writes into `tests/fixtures/<version>/`:

- `schema.sql`: the schema of a migrated database, with one generation of read models,
- `data.sql`: a small log with its read models; all persons in it are invented,
- `log.jsonl`: the same log as `export` writes it,
- `source.tar.gz`: the source of the product with its hashed requirements. Equal sources give equal
  bytes.

Run it once, when a version is finished. A frozen version is never written again.
"""

import asyncio
import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.transfer.export import ExportScope, export
from cli.connections import database
from cli.sandbox.binaries import cache_folders, installed_site, reachable_programs, server_user
from cli.sandbox.postgres import postgres
from contracts.identity import speaker_id
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.documents import category, document, talk
from tests.support.line import ORGANIZATION
from tests.support.past import Past

ROOT = Path(__file__).parents[2]
PACKAGES = ("audit", "cli", "contracts", "eventstore", "messaging", "projections", "worker")
OTHERS = ("pyproject.toml", "requirements", "deploy", "LICENSE")
EVENT = UUID("f0f0f0f0-0000-4000-8000-000000000001")


def program_folder() -> Path:
    """Return the folder with PostgreSQL's programs."""
    return reachable_programs(server_user(), installed_site(), cache_folders())


def version() -> str:
    """Return the version of the product."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return found


def source_archive() -> bytes:
    """Return the product's source as a tar.gz: the files that git knows, without their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES, *OTHERS],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(name for name in listed.stdout.decode().split("\0") if name)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            body = (ROOT / name).read_bytes()
            entry = tarfile.TarInfo(f"spreaview-sync-{version()}/{name}")
            entry.size, entry.mode = len(body), 0o644
            archive.addfile(entry, io.BytesIO(body))
    return gzip.compress(packed.getvalue(), mtime=0)


async def make_log(engine: AsyncEngine) -> None:
    """Import a few invented documents: changes, skips, withdrawals, topics, and an erasure."""
    past = Past(engine, event_id=EVENT)
    topics = {"categories": [category("1")]}
    first, second = talk("1", categoryItems=["11"]), talk("2", "2026-05-28T11:00:00")
    late = talk("3", "2026-06-02T09:00:00", speakers=["eve"])
    await past.imports(document(first, second, late) | topics)
    await past.imports(document(first | {"title": "Another"}, late) | topics)
    await past.imports(document(first | {"title": "Another"}, second, late) | topics)
    await past.imports(b"<html>")
    await erase(engine, ORGANIZATION, speaker_id(ORGANIZATION, "ada"))
    await past.imports(document(first, second, late) | topics)


def dump(url: str, *options: str) -> bytes:
    """Return what `pg_dump` writes, without the lines that differ from run to run."""
    program = str(program_folder() / "pg_dump")
    command = [program, "--no-owner", "--no-privileges", *options, url]
    written = subprocess.run(command, capture_output=True, check=True, text=True)
    lines = written.stdout.splitlines()
    kept = [line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))]
    return ("\n".join(kept).strip() + "\n").encode()


async def files() -> dict[str, bytes]:
    """Return the fixtures by name."""
    with tempfile.TemporaryDirectory(prefix="spreaview-freeze-") as temporary:
        os.chmod(temporary, 0o755)  # PostgreSQL runs as another user if we are root
        async with (
            postgres(Path(temporary) / "data") as url,
            database(url, pool_size=4) as engine,
        ):
            await migrate(engine)
            await prepare(engine)
            await make_log(engine)
            return {
                "log.jsonl": b"".join([line async for line in export(engine, ExportScope())]),
                "schema.sql": await asyncio.to_thread(dump, url, "--schema-only"),
                "data.sql": await asyncio.to_thread(dump, url, "--data-only", "--inserts"),
                "source.tar.gz": await asyncio.to_thread(source_archive),
            }


def freeze(folder: Path) -> None:
    """Write the fixtures into a new folder.

    Raises:
        FileExistsError: this version is frozen already.
    """
    folder.mkdir(parents=True)
    for name, body in asyncio.run(files()).items():
        (folder / name).write_bytes(body)


def main() -> int:
    """Freeze this version. Returns 1 if it is frozen already."""
    folder = ROOT / "tests" / "fixtures" / version()
    try:
        freeze(folder)
    except FileExistsError:
        print(f"{folder} exists: a frozen version is never written again.", file=sys.stderr)
        return 1
    for path in sorted(folder.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
