"""Row 11, continued: the first sync after every service was replaced by a new process.

A new worker starts, and the old one ends once the new one is ready; then the projectors likewise.
The next sync has to wait for the consumer groups, whose partitions move to the new processes.
"""

import math
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

from tests.benchmarks.harness import Result, Size, Stopwatch, seconds_within
from tests.benchmarks.line import ends_of_line, service
from tests.benchmarks.servers import Servers

_ROUNDS = {"quick": 5, "full": 15, "long": 100}
_LIMIT_SECONDS = 2.0
_API_ID = "restart1"


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the slowest first sync, beside the median of the syncs that follow it."""
    first: list[float] = []
    later: list[float] = []
    async with (
        servers.database() as database,
        ends_of_line(servers, database) as line,
        AsyncExitStack() as stack,
    ):
        line.serve(_API_ID, sessions=60, speakers=60)
        old: dict[str, AsyncExitStack] = {}
        for _ in range(_ROUNDS[size] + 1):
            for role in ("worker", "projector"):
                new = await stack.enter_async_context(AsyncExitStack())
                await new.enter_async_context(service(role, **line.addresses))
                if role in old:
                    await old[role].aclose()
                old[role] = new
            for taken in (first, later):
                with Stopwatch() as watch:
                    await line.sync(_API_ID, [uuid4()])
                taken.append(watch.seconds)
    del first[0]  # after the first start of all, not after a restart
    yield seconds_within(
        _LIMIT_SECONDS,
        "11",
        f"first sync after a rolling restart, p99 of {len(first)}",
        sorted(first)[math.ceil(0.99 * len(first)) - 1],
        "median of the syncs after it",
        statistics.median(later),
        f"median {statistics.median(first):.2f} s",
    )
