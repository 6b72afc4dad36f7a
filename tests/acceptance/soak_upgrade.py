"""`make soak`: upgrades from 0.1.0 under load, several times, with two processes of each role.

Run as `python -m tests.acceptance.soak_upgrade --rounds 3`.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from cli.logs import configure_logging
from tests.support.upgrading import UpgradeSize, upgrade

LONG = UpgradeSize(requests=400, events=24, each=2, rest_seconds=15.0, settle_seconds=240)


async def soak(seed: int, folder: Path) -> bool:
    """Upgrade once and print the outcome; return whether it has no findings."""
    done = await upgrade(seed, LONG, folder)
    versions = ", ".join(f"{number} runs by {name}" for name, number in done.versions.items())
    print(
        f"upgrade {seed}: {done.requests} requests, {done.completed} runs completed ({versions}), "
        f"{'settled' if done.settled else 'NOT SETTLED'}, {done.seconds:.0f} s"
    )
    print(done.findings.found if done.findings else "no findings")
    return done.settled and not done.findings and len(done.versions) == 2


def main() -> int:
    """Return 0 if there are no findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="number of upgrades")
    parser.add_argument("--seed", type=int, default=1, help="of the first one")
    chosen = parser.parse_args()
    configure_logging("WARNING", "console")
    is_well = True
    for seed in range(chosen.seed, chosen.seed + chosen.rounds):
        with tempfile.TemporaryDirectory(prefix="upgrade-") as folder:
            is_well &= asyncio.run(soak(seed, Path(folder)))
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
