"""Row 9: a long log compared with a short one, and a late sync of a stream with an early one.

Both logs are projected and open at the same time, and the work is done in turn on each. `full`
compares 10,000 events with 300,000. `long` compares with 3,000,000: 20 minutes, 12 GB of disk.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

from sqlalchemy import text

from eventstore.log import EventLog
from projections.http.feed.cursor import cursor_at, start_of
from projections.http.feed.frames import Filter
from projections.http.feed.pages import FeedReader
from projections.http.feed.tail import LogTail
from projections.projector import Projector
from tests.benchmarks.harness import Result, Size, Stopwatch, cpu_seconds, result
from tests.benchmarks.in_process import InProcess, Schedule, in_process
from tests.benchmarks.servers import Database, Servers
from tests.support.long_log import load_repeated
from tests.support.processes import COMMAND, ROOT, environment
from tests.support.rebuilds import append_sessions

_EVENTS = {"quick": (10_000, 40_000), "full": (10_000, 300_000), "long": (10_000, 3_000_000)}
_SYNCS = {"quick": 50, "full": 300, "long": 1_000}
_ROUNDS = 7
_TIMES = 15
_TARGET = 1.2
_ANY_STREAM = text("SELECT stream_id FROM event_store.streams ORDER BY stream_id LIMIT 1")

Work = Callable[[], Awaitable[object]]


def _progress(text: str, since: float) -> None:
    print(f"     growth: {text} after {time.monotonic() - since:.0f} s", flush=True)


async def _project_all(database: Database) -> None:
    """Fill the read models with everything in the log, by the command."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "projections", "rebuild", "--json"),
        env=environment(database_url=database.url),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if code := await process.wait():
        raise RuntimeError(f"the rebuild ended with {code}")
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))  # before autovacuum does it
        await connection.execute(text("CHECKPOINT"))


async def _works(database: Database) -> Mapping[str, Work]:
    """The work that must not take longer with a longer log."""
    log = EventLog(database.engine)
    projector = Projector(database.engine, sweep_seconds=60)
    whole = await in_process(database, Schedule())
    head = await log.head()
    found = await log.last_event(head // 2)
    assert found is not None
    log_id = (await log.identity()).log_id
    tail = LogTail(database.engine, log_id, _never, max_bytes=0)
    await tail.start()
    reader, middle = FeedReader(database.engine, tail), cursor_at(log_id, *found)
    async with database.engine.connect() as connection:
        stream = (await connection.execute(_ANY_STREAM)).scalar_one()
    appended: list[UUID] = []

    async def append() -> None:
        appended.append(uuid4())
        await append_sessions(log, appended[-1], 1, sessions=40)

    async def project() -> None:
        await projector.catch_up([appended.pop()])

    async def sync() -> None:
        await whole.sync(uuid4())

    async def page() -> None:
        await reader.next_batch(middle, Filter())

    async def page_of_one() -> None:
        await reader.next_batch(start_of(log_id), Filter(event_id=stream))

    return {
        "append an import": append,
        "project an import": project,
        "sync, first import": sync,
        "page of the feed": page,
        "page of the feed, one SpreaView event": page_of_one,
    }


async def _never() -> None:
    """Wait for a longer log: nobody follows it here."""
    await asyncio.Event().wait()


async def _compared(
    work: str, long: Work, short: Work, *, partner: str, times: int = _TIMES
) -> Result:
    """Do the work on both in turn; a round has `times` of each."""
    await long(), await short()
    values: list[tuple[float, float]] = []
    costs: list[float] = []
    for number in range(_ROUNDS):
        found: dict[Work, tuple[float, float]] = {}
        for one in (long, short) if number % 2 else (short, long):
            before, taken = cpu_seconds(), list[float]()
            for _ in range(times):
                with Stopwatch() as watch:
                    await one()
                taken.append(watch.seconds * 1000)
            found[one] = statistics.median(taken), cpu_seconds() - before
        values.append((found[long][0], found[short][0]))
        costs.append(found[long][1] / (found[short][1] or 0.01))
    return result(
        "9", work, "ms", statistics.median(ours for ours, _ in values),
        partner, statistics.median(theirs for _, theirs in values),
        ratios=[ours / theirs for ours, theirs in values], target=_TARGET,
        cpu_ratio=statistics.median(costs),
    )  # fmt: skip


async def _logs(servers: Servers, size: Size) -> AsyncIterator[Result]:
    since = time.monotonic()
    async with AsyncExitStack() as stack:
        sides: list[tuple[int, Mapping[str, Work]]] = []
        for events in _EVENTS[size]:
            database = await stack.enter_async_context(servers.database())
            total = await load_repeated(database.engine, events)
            _progress(f"{total:,} events loaded", since)
            await _project_all(database)
            _progress(f"{total:,} events projected", since)
            sides.append((total, await _works(database)))
        (few, short), (many, long) = sides
        for work in short:
            name = f"{work}, log of {many:,}"
            yield await _compared(name, long[work], short[work], partner=f"of {few:,} events")


async def _streams(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """A stream with many syncs against streams with one; each sync changes a title."""
    since = time.monotonic()
    async with servers.database() as database:
        schedule = Schedule()
        side: InProcess = await in_process(database, schedule)
        old, count = uuid4(), 0
        young: list[UUID] = []

        async def another(event: UUID) -> None:
            nonlocal count
            count += 1
            schedule.rename(count)
            await side.sync(event)

        for _ in range(_SYNCS[size]):
            await another(old)
        _progress(f"{_SYNCS[size]:,} syncs of one SpreaView event", since)
        for _ in range((_ROUNDS + 1) * _TIMES):
            young.append(uuid4())
            await another(young[-1])

        async def early() -> None:
            await another(young.pop())

        async def late() -> None:
            await another(old)

        yield await _compared(
            f"sync {_SYNCS[size]:,} of a SpreaView event", late, early, partner="its 2nd sync"
        )


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of a long log, and of a stream with a long history."""
    async for line in _logs(servers, size):
        yield line
    async for line in _streams(servers, size):
        yield line
