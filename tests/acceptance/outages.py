"""`make outages`: PostgreSQL is down for two minutes, then Kafka, both under load.

Afterwards every request must complete without an operator; the oracle of `make chaos` checks
this. No process may need much more memory than before.

Run as `python -m tests.acceptance.outages --seconds 120`.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import psutil

from cli.logs import configure_logging
from tests.support.chaos.members import Member
from tests.support.chaos.plan import Fault, Kind, Target
from tests.support.chaos.run import Size, befall
from tests.support.chaos.stack import running, servers

_UP_SECONDS = 20.0
"""Time under load before, between and after the outages."""
_LOOK_SECONDS = 1.0
_MIB = 1024 * 1024


async def outages(seconds: float, folder: Path) -> bool:
    """Cause the outages and print the report; return whether it has no findings."""
    plan = [
        # A killed server starts again after a quarter of its fault's time.
        Fault(_UP_SECONDS, False, Target.POSTGRES, Kind.KILL, 0, 4 * seconds),
        Fault(_UP_SECONDS + seconds, False, Target.KAFKA, Kind.KILL, 0, 4 * seconds),
    ]
    size = Size(faults=2, requests=400, events=40, settle_seconds=180)
    async with servers(folder) as under, running(under, folder) as stack:
        memory: dict[str, list[int]] = defaultdict(list)
        watching = asyncio.create_task(_watch(list(stack.members.values()), memory))
        try:
            report = await befall(stack, 1, size, plan)
        finally:
            watching.cancel()
    print(report.table())
    flat = True
    for name, seen in memory.items():
        before, most = max(seen[: int(_UP_SECONDS / _LOOK_SECONDS)]), max(seen)
        print(f"{name:>12}: {before / _MIB:.0f} MiB before, {most / _MIB:.0f} MiB at most")
        flat = flat and most < 1.5 * before
    return flat and not report.findings


async def _watch(members: list[Member], memory: dict[str, list[int]]) -> None:
    while True:
        for member in members:
            if (pid := member.pid) is not None:
                memory[member.name].append(psutil.Process(pid).memory_info().rss)
        await asyncio.sleep(_LOOK_SECONDS)


def main() -> int:
    """Return 0 if there are no findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long each server is down")
    chosen = parser.parse_args()
    configure_logging("WARNING", "console")
    logging.getLogger("cli.sandbox.watched_server").setLevel(
        logging.CRITICAL
    )  # servers end here on purpose
    with tempfile.TemporaryDirectory(prefix="outages-") as folder:
        return 0 if asyncio.run(outages(chosen.seconds, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
