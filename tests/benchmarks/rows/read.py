"""Row 5: events read from the log per second, typed, compared with undecoded rows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import asyncpg
from sqlalchemy import text

from eventstore.log import EventLog
from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.servers import Servers
from tests.support.long_log import load

_EVENTS = {"quick": 10_000, "full": 50_000, "long": 200_000}
_PAGE = 1000
_RAW = """
    SELECT e.position, e.stream_id, e.version, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, e.recorded_at, e.hash, p.body::text
    FROM event_store.events e LEFT JOIN event_store.personal_data p USING (message_id)
    WHERE e.position > $1 ORDER BY e.position LIMIT $2
"""


async def undecoded(pool: asyncpg.Pool) -> int:
    """Read the whole log, page by page, and decode nothing; return the number of rows."""
    after = number = 0
    async with pool.acquire() as connection:
        while page := await connection.fetch(_RAW, after, _PAGE):
            after, number = page[-1][0], number + len(page)
    return number


async def _read(log: EventLog, *, typed: bool) -> int:
    after = number = 0
    while page := await log.read_all(after):
        after, number = page[-1].position, number + len(page)
        if typed:
            for recorded in page:
                _ = recorded.event
    return number


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of rows, and of typed events."""
    async with servers.database() as (url, engine), asyncpg.create_pool(url, min_size=1) as pool:
        await load(engine, _EVENTS[size])
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE event_store.events"))
        log = EventLog(engine)

        async def rate(way: Callable[[], Awaitable[int]]) -> float:
            with Stopwatch() as watch:
                number = await way()
            return number / watch.seconds

        for typed, target in ((False, 0.6), (True, 0.5)):
            yield await compare(
                "5",
                f"read the log, {'typed events' if typed else 'rows'}",
                ours=partial(rate, partial(_read, log, typed=typed)),
                floor=partial(rate, partial(undecoded, pool)),
                partner="asyncpg undecoded",
                target=target,
                rounds=9,
            )
