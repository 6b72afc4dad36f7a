"""Row 3: many SpreaView events at once, each imported for the first time.

The floor is the larger of two: the time that the fetches take at the allowed concurrency, and the
processor time of the same syncs by hand, on all cores.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import httpx

from cli.settings import Settings
from tests.benchmarks import plain_projection
from tests.benchmarks.harness import Result, Size, Stopwatch, cpu_seconds, result
from tests.benchmarks.line import Line, line
from tests.benchmarks.plain_sync import RECORDED, PlainSync
from tests.benchmarks.servers import Servers

_EVENTS = {"quick": 50, "full": 200, "long": 1_000}
_PLAIN = 30
_AT_ONCE = Settings().fetch_concurrency
_LOOK_SECONDS = 0.5
_MOST_MIB = 150


async def _plain_cpu_seconds(plain: PlainSync) -> float:
    """Processor time of one sync by hand, servers included."""
    async with httpx.AsyncClient() as client:
        await plain.sync(client)
        before = cpu_seconds()
        for _ in range(_PLAIN):
            await plain.sync(client)
    return (cpu_seconds() - before) / _PLAIN


async def _burst(running: Line, api_id: str, number: int) -> tuple[float, float, list[float]]:
    """Seconds until all rows are visible, processor time, and most memory of both services."""
    peaks = running.peak_mib()

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            peaks[:] = map(max, peaks, running.peak_mib())

    watching = asyncio.create_task(watch())
    before = cpu_seconds()
    with Stopwatch() as taken:
        await running.sync(api_id, [uuid4() for _ in range(number)])
    watching.cancel()
    return taken.seconds, cpu_seconds() - before, peaks


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results with a Sessionize that answers in 300 ms, and with one that is quick."""
    number = _EVENTS[size]
    async with (
        servers.database() as database,
        servers.database() as plain_database,
        line(servers, database) as running,
    ):
        running.serve("burst000", sessions=60, speakers=45)
        running.serve("burst300", sessions=60, speakers=45, after_seconds=0.3)
        sample = uuid4()
        await running.sync("burst000", [sample])
        reader = await asyncpg.connect(database.url)
        rows = await reader.fetch(RECORDED, sample, 0)
        await reader.close()
        connection = await asyncpg.connect(plain_database.url)
        await plain_projection.prepare(connection, "spreaview_g1")
        url = f"{running.double.base_url}/burst000/view/All"
        cpu = await _plain_cpu_seconds(PlainSync(url, connection, rows))
        await connection.close()
        cpu_floor = cpu * number / (os.cpu_count() or 1)
        for api_id, delay in (("burst300", 0.3), ("burst000", 0.0)):
            latency_floor = number * delay / _AT_ONCE
            taken, cost, peaks = await _burst(running, api_id, number)
            found = result(
                "3",
                f"burst of {number} × {len(rows)} events, upstream {delay:g} s",
                "s",
                taken,
                f"larger of latency {latency_floor:.1f} s and processors {cpu_floor:.1f} s:",
                max(latency_floor, cpu_floor),
                target=1.3,
                cpu_ratio=cost / number / cpu,
                note=f"{number * len(rows) / taken:,.0f} events/s; worker {peaks[0]:.0f} MiB, "
                f"projector {peaks[1]:.0f} MiB",
            )
            found.met = found.met and max(peaks) < _MOST_MIB
            yield found
