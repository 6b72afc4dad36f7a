"""The long form of `test_feed_under_load`: 1,000 clients, and a server that is killed 20 times.

The figures depend on the machine: measure where nothing else runs. Run as
`python -m tests.acceptance.soak_feed --clients 1000 --kills 20`. With `--feed-bytes 30000`, the
clients move between the log and the tail in memory all the time.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from pathlib import Path

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.feed_load.run import Figures, Size, run

_MOST_MS = 250.0
_LEAST_PER_CPU_SECOND = 100_000
_END_SECONDS = 2.0
_GROWTH = 2.0
"""The memory of the server at the end, with the frames of a longer log, by that at the start."""


async def soak(size: Size, folder: Path) -> Figures:
    """Run the load on a PostgreSQL of its own, and check the figures."""
    async with postgres(folder / "postgres") as url:
        async with database(url, pool_size=2) as engine:
            await migrate(engine)
            await prepare(engine)
        figures = await run(url, size, folder)
    numbers, wrong = figures.numbers, figures.wrong
    if (p99 := numbers["commit to delivery, p99, ms"]) > _MOST_MS:
        wrong.append(f"99 of 100 deliveries took up to {p99:.0f} ms, more than {_MOST_MS:g}")
    rate = numbers["burst: deliveries per CPU second"]
    if rate < _LEAST_PER_CPU_SECOND and size.feed_bytes is None:
        wrong.append(f"{rate:,.0f} deliveries per CPU second are less than 100,000")
    if (seconds := numbers["SIGTERM with open streams, seconds to the end"]) > _END_SECONDS:
        wrong.append(f"the server ended {seconds:.1f} s after SIGTERM")
    before = numbers["memory after the first connections, MiB"]
    if (after := numbers["memory at the end, MiB"]) > _GROWTH * before:
        wrong.append(f"the memory of the server grew from {before:.0f} to {after:.0f} MiB")
    numbers["load average of the machine"] = os.getloadavg()[0]
    return figures


def main() -> int:
    """Return 0 if every guarantee and figure holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="from one kill to the next")
    parser.add_argument("--feed-bytes", type=int, help="SPREAVIEW_FEED_BYTES of the server")
    chosen = parser.parse_args()
    configure_logging("WARNING", "console")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each client
    size = Size(chosen.clients, chosen.kills, chosen.seconds, feed_bytes=chosen.feed_bytes)
    with tempfile.TemporaryDirectory(prefix="soak-feed-") as folder:
        figures = asyncio.run(soak(size, Path(folder)))
    print(figures.table())
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
