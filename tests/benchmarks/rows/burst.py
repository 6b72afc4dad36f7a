"""Row 3: many SpreaView events at once, each imported for the first time.

The floor is the larger of two: the time that the fetches take at the allowed concurrency, and the
processor time of the same syncs by hand, on all cores. It is taken again before each burst.

`long` has 6 bursts of 1,000, and 6 more for the memory: 15 minutes, 9 GB of disk.
"""

import os
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import httpx

from cli.settings import Settings
from tests.benchmarks import plain_projection
from tests.benchmarks.harness import Result, Size, result
from tests.benchmarks.line import Line, line
from tests.benchmarks.measured_burst import Burst, measured_burst, shown_parts
from tests.benchmarks.plain_sync import RECORDED, PlainSync
from tests.benchmarks.servers import Servers

_EVENTS = {"quick": 50, "full": 200, "long": 1_000}
_ROUNDS = {"quick": 1, "full": 3, "long": 3}
_MORE = {"quick": 0, "full": 2, "long": 6}
"""Further bursts, to see whether the memory grows."""
_PLAIN = 40
_AT_ONCE = Settings().fetch_concurrency
_MOST_MIB = 150
_MOST_GROWTH = 1.1
_DELAYS = (0.3, 0.0)
_ENTITIES = {"sessions": 60, "speakers": 45}


class _Round(NamedTuple):
    burst: Burst
    latency_seconds: float
    plain_cpu_seconds: float
    """Processor time of the same number of syncs by hand."""

    @property
    def floor(self) -> float:
        return max(self.latency_seconds, self.plain_cpu_seconds / (os.cpu_count() or 1))


async def _plain_cpu_seconds(running: Line, plain: PlainSync) -> float:
    """Processor time of one sync by hand, with PostgreSQL; the services are idle meanwhile."""

    def so_far() -> float:
        cpu = running.cpu_seconds()
        return cpu["load"] + cpu["PostgreSQL"]

    async with httpx.AsyncClient() as client:
        await plain.sync(client)
        before = so_far()
        for _ in range(_PLAIN):
            await plain.sync(client)
    return (so_far() - before) / _PLAIN


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results with a Sessionize that answers in 300 ms, and with one that is quick."""
    number = _EVENTS[size]
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(servers.database())
        plain_database = await stack.enter_async_context(servers.database())
        running = await stack.enter_async_context(line(servers, database))
        connection = await asyncpg.connect(plain_database.url)
        stack.push_async_callback(connection.close)
        api_ids = {
            delay: [f"burst{delay * 10:.0f}{n:04}" for n in range(number)] for delay in _DELAYS
        }
        for delay in _DELAYS:
            running.serve(*api_ids[delay], after_seconds=delay, **_ENTITIES)
        quick = api_ids[0.0]
        rows = await _recorded(running, database.url, quick[0])
        await plain_projection.prepare(connection, "spreaview_g1")
        plain = PlainSync(f"{running.double.base_url}/{quick[0]}/view/All", connection, rows)
        await running.sync(quick[: number // 4], [uuid4() for _ in quick[: number // 4]])
        rounds: dict[float, list[_Round]] = {delay: [] for delay in _DELAYS}
        for _ in range(_ROUNDS[size]):
            for delay in _DELAYS:
                cpu = await _plain_cpu_seconds(running, plain)
                burst = await measured_burst(running, api_ids[delay])
                rounds[delay].append(_Round(burst, number * delay / _AT_ONCE, number * cpu))
                print(f"     burst: {shown_parts(burst)}; by hand {1000 * cpu:.1f}", flush=True)
        for delay in _DELAYS:
            yield _line_of(rounds[delay], delay, number, len(rows))
        before = [one.burst.memory for one in rounds[0.0]]
        after = [(await measured_burst(running, quick)).memory for _ in range(_MORE[size])]
        if after:
            for role in running.services:
                work = (
                    f"memory of the {role} after {(2 * len(before) + len(after)) * number:,} syncs"
                )
                late = statistics.median(one[role] for one in after)
                yield result(
                    "3", work, "MB", late, "at first", before[0][role], target=_MOST_GROWTH
                )


async def _recorded(running: Line, url: str, api_id: str) -> list[asyncpg.Record]:
    """The events of a first import."""
    sample = uuid4()
    await running.sync(api_id, [sample])
    reader = await asyncpg.connect(url)
    rows: list[asyncpg.Record] = await reader.fetch(RECORDED, sample, 0)
    await reader.close()
    return rows


def _line_of(rounds: Sequence[_Round], delay: float, number: int, events: int) -> Result:
    seconds = statistics.median(one.burst.seconds for one in rounds)
    latency = rounds[0].latency_seconds
    cpu = statistics.median(one.plain_cpu_seconds for one in rounds) / (os.cpu_count() or 1)
    memory = {
        role: max(one.burst.memory[role] for one in rounds) for role in rounds[0].burst.memory
    }
    found = result(
        "3",
        f"burst of {number} × {events} events, upstream {delay:g} s",
        "s",
        seconds,
        f"larger of latency {latency:.1f} s and processors {cpu:.1f} s:",
        max(latency, cpu),
        ratios=[one.burst.seconds / one.floor for one in rounds],
        target=1.3,
        cpu_ratio=statistics.median(
            sum(one.burst.cpu.values()) / one.plain_cpu_seconds for one in rounds
        ),
        note=f"{number * events / seconds:,.0f} events/s; "
        + ", ".join(f"{role} {mib:.0f} MiB" for role, mib in memory.items()),
    )
    found.met = found.met and max(memory.values()) < _MOST_MIB
    return found
