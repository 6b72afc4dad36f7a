"""Rows 1 and 2: from a request to the visible rows, of a first import and of one without changes.

The floor does it in one process without Kafka: it fetches the schedule, decodes it, compares it
with the one before, writes the same events by one `unnest`, and the same rows by COPY and upserts,
in two transactions. A random pause comes before each sync, as between the requests of organisers:
the rhythm of a consumer neither hides nor helps.
"""

import asyncio
import random
import statistics
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import httpx

from tests.benchmarks import plain_projection
from tests.benchmarks.harness import Result, Size, Stopwatch, compare, peer
from tests.benchmarks.line import Line, line
from tests.benchmarks.plain_sync import RECORDED, PlainSync
from tests.benchmarks.servers import Servers

_API_ID = "bench184"
_SESSIONS, _SPEAKERS = 97, 70
_EACH = {"quick": 5, "full": 20, "long": 100}
"""Syncs per round; their median counts."""
_ROUNDS = 5
_LONGEST_PAUSE_SECONDS = 0.3


async def _ours(running: Line, events: list[UUID], each: int, *, first: bool) -> float:
    """The median in milliseconds."""
    taken = []
    for number in range(each):
        event = uuid4() if first else events[number]
        await _pause()
        with Stopwatch() as watch:
            await running.sync(_API_ID, [event])
        taken.append(watch.seconds)
        if first:
            events.append(event)
    _Tail.of[first] += taken
    return statistics.median(taken) * 1000


async def _pause() -> None:
    await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))


class _Tail:
    of: dict[bool, list[float]] = {True: [], False: []}  # noqa: RUF012


async def _floor(plain: PlainSync, client: httpx.AsyncClient, each: int) -> float:
    taken = []
    for _ in range(each):
        await _pause()
        with Stopwatch() as watch:
            await plain.sync(client)
        taken.append(watch.seconds)
    return statistics.median(taken) * 1000


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of a first import, and of one without changes."""
    each = _EACH[size]
    async with (
        servers.database() as database,
        servers.database() as plain_database,
        line(servers, database) as running,
        httpx.AsyncClient() as client,
    ):
        running.serve(_API_ID, sessions=_SESSIONS, speakers=_SPEAKERS)
        url = f"{running.double.base_url}/{_API_ID}/view/All"
        sample = uuid4()
        await running.sync(_API_ID, [sample])
        reader, connection = [await asyncpg.connect(one.url) for one in (database, plain_database)]
        first = await reader.fetch(RECORDED, sample, 0)
        await running.sync(_API_ID, [sample])
        again = await reader.fetch(RECORDED, sample, len(first))
        await plain_projection.prepare(connection, "spreaview_g1")
        events: list[UUID] = []
        dlt = partial(peer, "dlt_merge.py", plain_database.url, url, "5")
        for is_first, recorded, row, work in (
            (True, first, "1", f"first import of {len(first) - 2} entities"),
            (False, again, "2", "the same again, unchanged"),
        ):
            found = await compare(
                row,
                f"{work}, until visible",
                ours=partial(_ours, running, events, each, first=is_first),
                floor=partial(_floor, PlainSync(url, connection, recorded), client, each),
                partner="one process by hand",
                target=3,
                unit="ms",
                rounds=_ROUNDS,
                peers={"dlt": lambda: (taken := dlt()) and taken * 1000},
                ahead=3 if is_first else None,
            )
            taken = sorted(_Tail.of[is_first])
            tail = taken[int(0.95 * len(taken))] * 1000
            found.note += f"p95 {tail:.0f} ms = {tail / found.value:.1f} × median of {len(taken)}"
            if is_first and tail > 2.5 * found.value:
                found.met = False
            yield found
        await reader.close()
        await connection.close()
