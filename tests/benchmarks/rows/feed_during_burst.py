"""Row 10: a burst of first imports while the live feed serves many clients.

There are 1,000 clients, each filtered to another SpreaView event. In a short burst, most of them
follow SpreaView events without imports. The partner is the same burst without the HTTP side. Every
client must have received each event of its stream once, in order.

`long` has a burst of 1,000: 10 minutes, 6 GB of disk.
"""

import resource
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg

from cli.commands.token import write_token
from projections.http.tokens import Scope
from tests.benchmarks.harness import Result, Size, result
from tests.benchmarks.line import PATIENCE, Line, line, service
from tests.benchmarks.measured_burst import Burst, measured_burst, shown_parts
from tests.benchmarks.servers import Database, Servers
from tests.support.feed_load.process import ClientsProcess, clients_process
from tests.support.ports import free_port

_EVENTS = {"quick": 50, "full": 200, "long": 1_000}
_CLIENTS = 1_000
_ROUNDS = {"quick": 1, "full": 3, "long": 3}
_POSITIONS = """
    SELECT stream_id, array_agg(position ORDER BY position) AS positions
    FROM event_store.events WHERE stream_id = ANY($1::uuid[]) GROUP BY stream_id
"""


class _Round(NamedTuple):
    alone: Burst
    beside: Burst
    """With the clients of the feed."""
    behind_seconds: float
    """From the visible rows until the last client has its last event."""
    deliveries: int


@asynccontextmanager
async def _feed(servers: Servers, running: Line) -> AsyncIterator[ClientsProcess]:
    """Run the HTTP side, and a process of clients that has none yet."""
    tokens = servers.folder / f"tokens-{uuid4().hex[:8]}.json"
    token = write_token(tokens, "load", [Scope.READ], None)
    port = free_port()
    settings = {"http_port": str(port), "api_tokens_file": str(tokens)}
    async with service("api", **running.addresses, **settings) as api:
        running.services["api"] = api
        try:
            async with clients_process(port, 0, token) as clients:
                yield clients
        finally:
            del running.services["api"]


async def _beside(
    servers: Servers, database: Database, running: Line, api_ids: Sequence[str], number: int
) -> tuple[Burst, float, int]:
    """A burst with clients; how long the last of them took after it; what all received."""
    events = [uuid4() for _ in api_ids]
    async with _feed(servers, running) as clients:
        others = (uuid4() for _ in range(number - len(events)))  # they have no events
        queries = [_query(event) for event in (*events, *others)]
        started = await clients.ask(follow=queries, within=PATIENCE)
        burst = await measured_burst(running, api_ids, events)
        began = time.perf_counter()
        positions = {query: [0] for query in queries}
        positions.update(await _positions(database, events))
        report = await clients.ask(
            reach={query: each[-1] for query, each in positions.items()},
            expected={query: each if each[-1] else [] for query, each in positions.items()},
            within=PATIENCE,
        )
        behind = time.perf_counter() - began
    if wrong := [*started.wrong, *report.wrong]:
        raise RuntimeError(f"the feed is wrong: {'; '.join(wrong[:5])}")
    return burst, behind, report.deliveries


def _query(event: UUID) -> str:
    return f"&event_id={event}"


async def _positions(database: Database, events: Sequence[UUID]) -> Mapping[str, list[int]]:
    """The positions of each SpreaView event, by the query of its clients."""
    reader = await asyncpg.connect(database.url)
    try:
        found = await reader.fetch(_POSITIONS, events)
    finally:
        await reader.close()
    return {_query(row["stream_id"]): list(row["positions"]) for row in found}


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the result of a burst with clients, compared with one without."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each client
    api_ids = [f"feed{n:06}" for n in range(_EVENTS[size])]
    rounds: list[_Round] = []
    async with servers.database() as database, line(servers, database) as running:
        running.serve(*api_ids, sessions=60, speakers=45)
        await measured_burst(running, api_ids[: len(api_ids) // 4])
        for number in range(_ROUNDS[size]):
            if number % 2 == 0:
                alone = await measured_burst(running, api_ids)
            beside = await _beside(servers, database, running, api_ids, _CLIENTS)
            if number % 2:
                alone = await measured_burst(running, api_ids)
            rounds.append(_Round(alone, *beside))
            print(f"     alone: {shown_parts(alone)}", flush=True)
            print(f"     with the feed: {shown_parts(beside[0])}", flush=True)
    yield result(
        "10",
        f"burst of {len(api_ids)} with {_CLIENTS:,} clients of the feed",
        "s",
        statistics.median(one.beside.seconds for one in rounds),
        "the burst alone",
        statistics.median(one.alone.seconds for one in rounds),
        ratios=[one.beside.seconds / one.alone.seconds for one in rounds],
        target=1.3,
        cpu_ratio=statistics.median(_cpu(one.beside) / _cpu(one.alone) for one in rounds),
        note=f"{rounds[-1].deliveries:,} deliveries, the last "
        f"{statistics.median(one.behind_seconds for one in rounds):.1f} s after the rows; "
        f"api {max(one.beside.memory['api'] for one in rounds):.0f} MiB",
    )


def _cpu(burst: Burst) -> float:
    """Processor time without the clients, which run elsewhere in production."""
    return sum(seconds for part, seconds in burst.cpu.items() if part != "load")
