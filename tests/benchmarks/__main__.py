"""Measure, print the table, and write `results/latest.json`.

    python -m tests.benchmarks quick|full|long [ROW ...]

A row is a module of `tests/benchmarks/rows`, such as `relay`. Lines are printed as they are
measured. A row that fails is reported, and the next one follows. Exits with 1 if a row has failed
or missed its target.
"""

import asyncio
import importlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import cast

from cli.collector import collect_rarely
from cli.logs import configure_logging
from tests.benchmarks.harness import LATEST, PEER_PYTHON, Result, Size, save, shown
from tests.benchmarks.servers import servers

_ROWS = {
    "quick": ("append", "read", "relay", "projector", "start"),
    "full": (
        *("first_import", "append", "read", "relay", "projector", "rebuild", "start", "restart"),
        *("burst", "feed_during_burst", "codec", "hanging"),
    ),
    "long": ("first_import", "rebuild", "burst", "growth", "feed_during_burst"),
}
"""By size. A row measures more data and more rounds with a larger size."""


async def main(size: Size, rows: list[str]) -> int:
    """Measure the rows one after the other; return the exit code."""
    configure_logging("ERROR", "console")
    collect_rarely()  # as every command does
    if not PEER_PYTHON.exists():
        print("the peers are not installed, so none is shown: make peers", flush=True)
    lines: list[Result] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="spreaview-bench-") as name:
        async with servers(Path(name)) as running:
            for row in rows or _ROWS[size]:
                module = importlib.import_module(f"tests.benchmarks.rows.{row}")
                try:
                    async for line in module.measure(running, size):
                        print(shown(line), flush=True)
                        lines.append(line)
                        save(lines, size)
                except Exception:
                    failed.append(row)
                    print(f"the row {row} failed:", flush=True)
                    traceback.print_exc()
    missed = sum(not line.met for line in lines)
    print(f"{len(lines) - missed} of {len(lines)} targets met; {LATEST}")
    if failed:
        print(f"failed rows: {', '.join(failed)}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "quick"
    if chosen not in _ROWS:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(cast("Size", chosen), sys.argv[2:])))
