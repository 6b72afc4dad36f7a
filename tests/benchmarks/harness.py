"""The harness of the benchmarks: ratios of alternating runs, the table, and the file.

A row compares ours with its floor: plain, hand-written code that does the same work on the same
data with the same durability. Both run in turn, so a busy moment of the machine meets both.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import psutil

from tests.support.processes import ROOT

LATEST = ROOT / "results" / "latest.json"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_PEERS = ROOT / "tests" / "benchmarks" / "peers"
_LIBRARIES = ("aiokafka", "asyncpg", "faststream", "msgspec", "sqlalchemy")

Size = Literal["quick", "full", "long"]
Measure = Callable[[], Awaitable[float]]
"""Does the work once; returns a rate (per second), or seconds."""


@dataclass
class Result:
    """One line of the table."""

    row: str
    """Number of the row in the table of targets."""
    work: str
    unit: str
    """`/s` for rates, where more is better; `ms` or `s` for times, where less is better."""
    value: float
    """Median of ours."""
    partner_name: str
    partner: float
    """Median of the floor."""
    ratio: float
    """Median of the ratios ours / floor of all rounds."""
    spread: tuple[float, float]
    """The smallest and the largest ratio of a round."""
    target: float
    met: bool
    cpu_ratio: float | None = None
    """As `ratio`, of the processor time of all processes of the run, servers included.

    Other work on the machine moves it less than the ratio of rates or times."""
    peers: dict[str, float] = field(default_factory=dict)
    """Values of other programs for the same work, in the same unit."""
    note: str = ""


async def compare(
    row: str,
    work: str,
    *,
    ours: Measure,
    floor: Measure,
    partner: str,
    target: float,
    unit: str = "/s",
    rounds: int = 3,
    peers: Mapping[str, Callable[[], float | None]] | None = None,
    ahead: float | None = None,
    note: str = "",
) -> Result:
    """Run ours and the floor in turn, after one unmeasured turn of each; return their ratio.

    Args:
        target: least ratio of rates, or largest ratio of times.
        peers: what other programs do in the same unit; None if they are not installed.
        ahead: also required: ours is better than each peer by this factor.
    """
    await ours(), await floor()
    pairs, costs = [], []
    for number in range(rounds):
        measured = [
            await _with_cost(one) for one in ((ours, floor) if number % 2 else (floor, ours))
        ]
        (mine, cost), (theirs, floor_cost) = measured if number % 2 else reversed(measured)
        pairs.append((mine, theirs))
        costs.append(cost / floor_cost)
    # In a thread, because a peer may fetch from a server of this event loop.
    found = {name: await asyncio.to_thread(of) for name, of in (peers or {}).items()}
    others = {name: value for name, value in found.items() if value is not None}
    value = statistics.median(mine for mine, _ in pairs)
    return result(
        row, work, unit, value, partner, statistics.median(theirs for _, theirs in pairs),
        ratios=[mine / theirs for mine, theirs in pairs], target=target, peers=others,
        cpu_ratio=statistics.median(1 / cost if unit == "/s" else cost for cost in costs),
        ahead=ahead, note=note,
    )  # fmt: skip


async def _with_cost(work: Measure) -> tuple[float, float]:
    before = cpu_seconds()
    value = await work()
    return value, cpu_seconds() - before


def cpu_seconds() -> float:
    """Return the processor time of this process and all processes that it has started."""
    own = psutil.Process()
    while True:
        try:
            return sum(sum(one.cpu_times()[:4]) for one in (own, *own.children(recursive=True)))
        except psutil.NoSuchProcess:
            continue  # it has just ended, and its time is now its parent's


def result(
    row: str,
    work: str,
    unit: str,
    value: float,
    partner_name: str,
    partner: float,
    *,
    target: float,
    ratios: Sequence[float] = (),
    cpu_ratio: float | None = None,
    peers: Mapping[str, float] | None = None,
    ahead: float | None = None,
    note: str = "",
) -> Result:
    """Return the line of a row from its figures; `ratios` has one ratio per round."""
    ratios = ratios or [value / partner]
    ratio, rates = statistics.median(ratios), unit == "/s"
    met = ratio >= target if rates else ratio <= target
    behind = []
    for name, theirs in (peers or {}).items():
        factor = value / theirs if rates else theirs / value
        if factor < (ahead or 1):
            behind.append(
                f"{name} is at {1 / factor:.2f} ×" if factor < 1 else f"{factor:.2f} × {name}"
            )
    met = met and not (ahead and behind)
    return Result(
        row, work, unit, value, partner_name, partner, ratio, (min(ratios), max(ratios)), target,
        met, cpu_ratio, dict(peers or {}), "; ".join([*behind, *([note] if note else [])]),
    )  # fmt: skip


def seconds_within(
    limit: float, row: str, work: str, seconds: float, partner: str, theirs: float, note: str = ""
) -> Result:
    """Return a line whose target is a number of seconds; the partner is shown for comparison."""
    notes = [*([note] if note else []), "the target is of the seconds, not of the ratio"]
    line = result(row, work, "s", seconds, partner, theirs, target=limit, note="; ".join(notes))
    line.met = seconds <= limit
    return line


def peer(script: str, *arguments: str) -> float | None:
    """Run a script of `peers/` in the peers' environment; None if that is not installed."""
    if not PEER_PYTHON.exists():
        return None
    done = subprocess.run(
        [str(PEER_PYTHON), str(_PEERS / script), *arguments],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        print(f"peer {script}: {done.stderr[-500:]}", file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


class Stopwatch:
    """Measures the seconds of a block: `with Stopwatch() as watch: …; watch.seconds`."""

    seconds: float

    def __enter__(self) -> "Stopwatch":
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began


def shown(line: Result) -> str:
    """Return a line of the table on screen."""
    rates = line.unit == "/s"
    digits = ",.0f" if rates or (line.unit == "ms" and line.value > 100) else ",.2f"
    peers = "".join(f" · {name} {value:{digits}}" for name, value in line.peers.items())
    cpu = "" if line.cpu_ratio is None else f", of processor time {line.cpu_ratio:.2f}"
    return (
        f"{line.row:>3}  {line.work:<44} {line.value:>10{digits}} {line.unit:<2}"
        f"  {line.partner_name} {line.partner:{digits}}{peers}\n"
        f"{'':5}ratio {line.ratio:.2f} ({line.spread[0]:.2f}-{line.spread[1]:.2f}){cpu}, target "
        f"{'≥' if rates else '≤'} {line.target:g}: {'met' if line.met else 'NOT MET'}"
        f"{'; ' + line.note if line.note else ''}"
    )


def save(lines: Sequence[Result], size: Size) -> None:
    """Write the results with machine and versions to `results/latest.json`."""
    LATEST.parent.mkdir(exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "machine": {
            "cores": os.cpu_count(),
            "load": [round(one, 2) for one in os.getloadavg()],
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            "spreaview-sync": version("spreaview-sync"),
        }
        | {name: version(name) for name in _LIBRARIES},
        "rows": [asdict(line) for line in lines],
    }
    LATEST.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
