"""Measure a rebuild: events per second into a new generation, and the memory of the process.

    python -m tests.benchmarks.rebuild [EVENTS]

The log holds many conferences, each imported once and then changed run by run. It is copied into
the tables of a separate PostgreSQL with fsync off, so that the disk does not limit the speed. The
rebuild command runs in a separate process.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cli.connections import database
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.long_log import load
from tests.support.processes import COMMAND, ROOT, environment


async def rebuild(url: str, what: str, events: int) -> None:
    """Run the command; print its speed and its peak memory."""
    began, peak = time.perf_counter(), 0
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "projections",
        "rebuild",
        env=environment(database_url=url),
        cwd=ROOT,
    )
    watched = psutil.Process(process.pid)
    while process.returncode is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        await asyncio.sleep(0.05)
    code = await process.wait()
    seconds = time.perf_counter() - began
    print(
        f"{what}: exit {code}, {seconds:.1f} s, {events / seconds:,.0f} events/s over all, "
        f"peak {peak / 2**20:.0f} MiB",
        flush=True,
    )


async def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        settings = {"fsync": "off", "max_wal_size": "4GB"}
        async with (
            postgres(Path(folder) / "data", settings=settings) as url,
            database(url, pool_size=4) as engine,
        ):
            await migrate(engine)
            await prepare(engine)
            total = await load(engine, events)
            print(f"a log of {total:,} events on {os.cpu_count()} cores", flush=True)
            await rebuild(url, "first rebuild, beside an empty generation", total)
            await rebuild(url, "second rebuild, with a parity proof of all", total)


if __name__ == "__main__":
    asyncio.run(main())
