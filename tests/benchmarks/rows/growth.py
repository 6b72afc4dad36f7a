"""Row 9: a long log compared with a short one, and a late sync of a stream with an early one.

The long log of `long` needs 8 GB of disk.
"""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

from eventstore.log import EventLog
from projections.projector import Projector
from tests.benchmarks.harness import Result, Size, Stopwatch, result
from tests.benchmarks.line import line
from tests.benchmarks.servers import Database, Servers
from tests.support.long_log import load
from tests.support.rebuilds import append_sessions

_EVENTS = {"quick": (2_000, 10_000), "full": (10_000, 100_000), "long": (10_000, 3_000_000)}
_SYNCS = {"quick": 20, "full": 100, "long": 1_000}
_TIMES = 20
_EDGE = 10


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(_TIMES):
        with Stopwatch() as watch:
            await work()
        taken.append(watch.seconds * 1000)
    return statistics.median(taken)


async def _costs(database: Database) -> dict[str, float]:
    """Milliseconds of an append, of projecting it, and of a page of the feed at the head."""
    log = EventLog(database.engine)
    projector = Projector(database.engine, sweep_seconds=60)
    streams: list[UUID] = []

    async def append() -> None:
        streams.append(uuid4())
        await append_sessions(log, streams[-1], 1, sessions=40)

    async def project() -> None:
        await projector.catch_up([streams.pop()])

    head = await log.head()

    async def page() -> None:
        await log.read_all(head - 500, limit=500)

    return {
        "append an import": await _milliseconds(append),
        "project an import": await _milliseconds(project),
        "read a page of the feed": await _milliseconds(page),
    }


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of a long log, and of a stream with a long history."""
    costs = []
    for events in _EVENTS[size]:
        async with servers.database() as database:
            total = await load(database.engine, events)
            costs.append((total, await _costs(database)))
    (short, before), (long, after) = costs
    for work, value in after.items():
        name = f"with {short:,} events"
        yield result("9", f"{work}, log of {long:,}", "ms", value, name, before[work], target=1.2)
    async with servers.database() as database, line(servers, database) as running:
        running.serve("growth01", sessions=60, speakers=45)
        event, taken = uuid4(), list[float]()
        for _ in range(_SYNCS[size]):
            with Stopwatch() as watch:
                await running.sync("growth01", [event])
            taken.append(watch.seconds * 1000)
        early, late = statistics.median(taken[1 : 1 + _EDGE]), statistics.median(taken[-_EDGE:])
        work = f"sync {len(taken):,} of a SpreaView event"
        yield result("9", work, "ms", late, "its syncs 2 to 11", early, target=1.2)
