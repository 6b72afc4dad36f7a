"""Every fault of `tests/support/doctor_faults.py`, one at a time, found, explained and healed.

The long form of `test_doctor.py`. Run as `python -m tests.acceptance.soak_doctor`.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.chaos.clock import ahead, missing_library
from tests.support.doctor_faults import FAULTS, LAST_FAULTS, Fault, found_and_healed
from tests.support.doctoring import Site, healthy_site

_OTHER_LOG = "migrated"
"""A second database with a log, which a fault takes for a replica."""


async def soak(folder: Path) -> bool:
    """Inject every fault and print a line about each; return whether all were explained."""
    missed = 0
    async with _two_databases(folder / "postgres") as url, healthy_site(folder, url) as site:
        missed += not await _clock_is_found(site)
        for fault in (*FAULTS, *LAST_FAULTS):
            missed += not await _is_found(site, fault)
        faults = 1 + len(FAULTS) + len(LAST_FAULTS)
        print(f"{faults - missed} of {faults} faults found and explained", end="; ")
        print(f"the longest examination took {site.slowest:.1f} s")
    return missed == 0


async def _is_found(site: Site, fault: Fault) -> bool:
    began = time.monotonic()
    try:
        await found_and_healed(site, fault)
        if fault not in LAST_FAULTS:
            await site.until_green()
    except AssertionError as missing:
        print(f"MISSED {fault}: {missing}", flush=True)
        return False
    print(f"found  {fault} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


async def _clock_is_found(site: Site) -> bool:
    """The clock of the doctor's own process is two hours ahead."""
    if (reason := missing_library()) is not None:
        print(f"MISSED a wrong clock: {reason}")
        return False
    document = await site.doctor_process(exit_code=1, given=ahead("+7200"))
    found = {one["check"]: one for one in document["findings"]}["clock of the database"]
    sentence = str(found["sentence"])
    is_found = found["verdict"] == "problem" and sentence.endswith("ahead of the database's")
    print(f"{'found ' if is_found else 'MISSED'} a wrong clock: {sentence}", flush=True)
    return is_found


@asynccontextmanager
async def _two_databases(folder: Path) -> AsyncIterator[str]:
    """A server with two migrated databases of different logs; yields the URL of one."""
    async with postgres(folder, settings={"fsync": "off"}, database=_OTHER_LOG) as url:
        server, _, _ = url.rpartition("/")
        ours = f"{server}/examined"
        async with database(f"{server}/postgres", 1) as engine, engine.connect() as admin:
            await admin.execution_options(isolation_level="AUTOCOMMIT")
            await admin.execute(text("CREATE DATABASE examined"))
        for each in (url, ours):
            async with database(each, pool_size=2) as engine:
                await migrate(engine)
                await prepare(engine)
        yield ours


def main() -> int:
    """Run all faults in a temporary folder."""
    configure_logging("WARNING", "console")
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user if this runs as root
        return 0 if asyncio.run(soak(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
