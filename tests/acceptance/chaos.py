"""`make chaos`: long runs of seeded faults over the whole stack.

Run as `python -m tests.acceptance.chaos --seed N --faults 300`.
"""

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from cli.logs import configure_logging
from tests.support.chaos.run import Size, run


def main() -> int:
    """Run the seeds in turn; return 1 if a run has findings, 2 if Apache Kafka is missing."""
    try:
        failed = [_fails(seed, size) for seed, size in _runs()]
        return int(any(failed))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _runs() -> list[tuple[int, Size]]:
    options = _parser().parse_args()
    configure_logging("INFO" if options.verbose else "WARNING", "console")
    logging.getLogger("cli.sandbox.watched_server").setLevel(
        logging.CRITICAL
    )  # servers end here on purpose
    seeds = options.seed or [secrets.randbelow(10**9) for _ in range(options.seeds)]
    size = Size(
        faults=options.faults,
        requests=options.requests or 2 * options.faults,
        events=options.events,
        feeds=options.feeds,
        settle_seconds=options.settle_seconds,
    )
    return [(seed, size) for seed in seeds]


def _fails(seed: int, size: Size) -> bool:
    print(f"chaos: seed {seed}, {size.faults} faults", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    fails = True
    try:
        report = asyncio.run(run(seed, size, folder))
        print(report.table(), flush=True)
        fails = bool(report.findings)
    finally:
        if fails:
            print(f"logs are kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return fails


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parser.add_argument(
        "--seeds", type=int, default=3, help="how many random seeds, without --seed"
    )
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--requests", type=int, help="default: two for each fault")
    parser.add_argument("--events", type=int, default=12, help="SpreaView events")
    parser.add_argument("--feeds", type=int, default=50, help="clients of the feed")
    parser.add_argument("--settle-seconds", type=float, default=180.0)
    parser.add_argument("--verbose", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
