"""Row 8: events that a rebuild applies per second, by the command, and its memory.

The floor reads the rows of the log undecoded and copies the rows that the rebuild has made into
tables of the same kind.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import asyncpg
import psutil

from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.rows.read import undecoded
from tests.benchmarks.servers import Servers
from tests.support.long_log import load
from tests.support.processes import COMMAND, ROOT, environment

_EVENTS = {"quick": 20_000, "full": 50_000, "long": 1_000_000}
_LOOK_SECONDS = 0.05
_GENERATED = """
    SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace
"""
_LIVE = "SELECT schema FROM projections.generations WHERE live"


class _Peak:
    mib = 0.0


async def _rebuild(url: str, events: int, peak: _Peak) -> float:
    """Run the command as an operator does; the time includes its start."""
    with Stopwatch() as watch:
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "projections", "rebuild", "--json"),
            env=environment(database_url=url),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        watched = psutil.Process(process.pid)
        waiting = asyncio.ensure_future(process.wait())
        while not waiting.done():
            try:
                peak.mib = max(peak.mib, watched.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                break
            await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
        code = await waiting
    assert code == 0, f"the rebuild ended with {code}"
    return events / watch.seconds


async def _plain(pool: asyncpg.Pool, events: int) -> float:
    async with pool.acquire() as connection:
        live = await connection.fetchval(_LIVE)
        tables = [row[0] for row in await connection.fetch(_GENERATED, live)]
        rows = {table: await connection.fetch(f"SELECT * FROM {live}.{table}") for table in tables}
        schema = f"plain_{uuid4().hex[:8]}"
        await connection.execute(f"CREATE SCHEMA {schema}")
        for table in tables:
            await connection.execute(
                f"CREATE TABLE {schema}.{table} (LIKE {live}.{table} INCLUDING ALL)"
            )
        with Stopwatch() as watch:
            await undecoded(pool)
            for table in tables:
                await connection.copy_records_to_table(
                    table, schema_name=schema, records=rows[table]
                )
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    return events / watch.seconds


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the result of rebuilding a log."""
    peak = _Peak()
    async with servers.database() as (url, engine), asyncpg.create_pool(url, min_size=2) as pool:
        total = await load(engine, _EVENTS[size])
        line = await compare(
            "8",
            f"rebuild of {total:,} events",
            ours=partial(_rebuild, url, total, peak),
            floor=partial(_plain, pool, total),
            partner="read raw, COPY the result",
            target=0.4,
            rounds=2 if size == "long" else 3,
        )
        line.note = f"peak {peak.mib:.0f} MiB"
        yield line
