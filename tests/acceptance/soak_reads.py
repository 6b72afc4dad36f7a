"""The long form of `test_read_your_writes`: thousands of pairs of a sync and a read.

Run as `python -m tests.acceptance.soak_reads --pairs 10000 --minutes 20`.
"""

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
from pathlib import Path

from cli.logs import configure_logging
from cli.sandbox.kafka import kafka
from tests.support.read_your_writes import read_pairs, reading_scene


def main() -> int:
    """Print the table; return 1 if a read was stale or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.soak_reads")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    configure_logging("WARNING", "console")
    logging.getLogger().setLevel(logging.ERROR)  # outages are made on purpose
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    print(f"reads: seed {seed}, at most {options.pairs} pairs", flush=True)
    with tempfile.TemporaryDirectory(prefix="reads-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the servers run as another user
        return asyncio.run(
            _soak(Path(folder), options.pairs, seed, options.writers, 60 * options.minutes)
        )


async def _soak(folder: Path, pairs: int, seed: int, writers: int, seconds: float) -> int:
    async with (
        kafka(log_path=folder / "kafka.log") as address,
        reading_scene(address, folder) as scene,
    ):
        tally = await read_pairs(scene, pairs, seed=seed, writers=writers, seconds=seconds)
    print(tally.table(scene.disturbances))
    for fault in (*tally.stale[:20], *tally.wrong[:20]):
        print(fault, file=sys.stderr)
    return int(bool(tally.stale or tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
