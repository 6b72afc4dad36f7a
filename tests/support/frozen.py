"""A frozen version of the product: its source, run by this Python, and its database."""

import asyncio
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.freeze import program_folder

FIXTURES = Path(__file__).parents[1] / "fixtures"

PROGRAM: Sequence[str] = (sys.executable, "-P", "-c", "from cli.start import main; main()")
"""The command line of the version that PYTHONPATH names, or of this one."""


class Frozen(NamedTuple):
    """An unpacked version."""

    version: str
    source: Path

    @property
    def env(self) -> dict[str, str]:
        """The variable by which `PROGRAM` is this version."""
        return {"PYTHONPATH": str(self.source)}


def unpacked(version: str, folder: Path) -> Frozen:
    """Unpack the source of a frozen version into a folder."""
    with tarfile.open(FIXTURES / version / "source.tar.gz") as archive:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    source = folder / f"spreaview-sync-{version}"
    # The program reads its version from the metadata of the installed package.
    metadata = source / f"spreaview_sync-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: spreaview-sync\nVersion: {version}\n")
    return Frozen(version, source)


async def load_database(version: str, url: str) -> None:
    """Load the database of a frozen version, with its small log, into an empty one."""
    folder = FIXTURES / version
    scripts = [f"--file={folder / name}" for name in ("schema.sql", "data.sql")]
    process = await asyncio.create_subprocess_exec(
        *(str(program_folder() / "psql"), "--quiet", "--no-psqlrc", "--output=/dev/null"),
        *("--set=ON_ERROR_STOP=1", *scripts, url),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
