"""A burst of syncs while the Sessionize of one SpreaView event hangs."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.line import Line, line
from tests.benchmarks.servers import Servers
from tests.support.sessionize.answers import Answer, Delivery

_EVENTS = {"quick": 20, "full": 100, "long": 200}
_HANGS_SECONDS = 30.0
_SILENCE = Answer(b"", status=404, delivery=Delivery(head_after_seconds=_HANGS_SECONDS))


async def _burst(running: Line, number: int, *, hangs: bool) -> float:
    hanging = asyncio.create_task(running.sync("hanging01", [uuid4()])) if hangs else None
    with Stopwatch() as watch:
        await running.sync("others001", [uuid4() for _ in range(number)])
    if hanging is not None:
        await hanging
    return watch.seconds


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the result of a burst with a hanging event, compared with one without."""
    number = _EVENTS[size]
    settings = {"fetch_attempts": "1", "fetch_seconds": "60"}
    async with servers.database() as database, line(servers, database, **settings) as running:
        running.double.documents.put("hanging01", _SILENCE)
        running.serve("others001", sessions=40, speakers=30)
        yield await compare(
            "–",
            f"{number} syncs beside one that hangs",
            ours=partial(_burst, running, number, hangs=True),
            floor=partial(_burst, running, number, hangs=False),
            partner="without it",
            target=1.1,
            unit="s",
        )
