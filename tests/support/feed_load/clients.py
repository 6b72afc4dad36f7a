"""A process of many clients of the feed, so that they take no time of the server's.

Run as `python -m tests.support.feed_load.clients PORT CLIENTS`; the token is in `FEED_TOKEN`. It
answers each line of its input with a line: `Report` to a `Question`.
"""

import asyncio
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tests.support.feed_load.subscriber import Server, Subscriber

SOME = "&type=session-imported,sync-completed"
QUERIES = ("", "", "", SOME, "", "", "", "")
"""The clients take these in turn: most read everything."""


class Question(msgspec.Struct, kw_only=True):
    """A question to the process."""

    reach: Mapping[str, int] | None = None
    """Wait until this position is the last that every reading client has, by its query; 0 if no
    event passes it."""
    within: float = 60.0
    """Seconds for it."""
    expected: Mapping[str, Sequence[int]] | None = None
    """The positions that each client has received, by its query."""
    commits: Mapping[int, float] = {}
    """Monotonic time of each commit, by the position of its last event."""
    reconnect_idle: bool = False
    """Whether the client that never reads connects again."""
    follow: Sequence[str] = ()
    """Start a reading client for each of these queries, and wait until all have caught up."""


class Report(msgspec.Struct, kw_only=True):
    """An answer of the process."""

    wrong: list[str] = []
    """A sentence for each client that is not where it should be, or has received other events."""
    deliveries: int = 0
    connections: int = 0
    refused: int = 0
    resets: int = 0
    least_resets: int = 0
    """Resets of the client that has the fewest."""
    latencies: list[float] = []
    """Seconds from commit to arrival: quantiles in per mille, 0 to 1000, of clients that were
    connected and caught up before the commit."""
    measured: int = 0
    cpu_seconds: float = 0.0


class Clients:
    """All clients; the last one of those that are started at once never reads."""

    def __init__(self, server: Server, number: int) -> None:
        self.readers: list[Subscriber] = []
        self._server = server
        self._tasks: list[asyncio.Task[None]] = []
        self._start(QUERIES[each % len(QUERIES)] for each in range(number - 1))
        self._idle = [Subscriber(server, "", reads=False)] if number else []
        self._idling = [asyncio.create_task(each.follow()) for each in self._idle]

    def _start(self, queries: Iterable[str]) -> None:
        started = [Subscriber(self._server, query) for query in queries]
        self.readers += started
        self._tasks += [asyncio.create_task(each.follow()) for each in started]

    async def answer(self, question: Question) -> Report:
        report = Report()
        if question.reconnect_idle:
            for task in self._idling:
                task.cancel()
            self._idling = [asyncio.create_task(each.follow()) for each in self._idle]
        if question.follow:
            self._start(question.follow)
            report.wrong += await self._caught_up(question.within)
        if question.reach is not None:
            report.wrong += await self._reach(question.reach, question.within)
        if question.expected is not None:
            wanted = {query: list(each) for query, each in question.expected.items()}
            report.wrong += [
                f"a client received {_difference(list(each.positions), wanted[each.query])}"
                for each in self.readers
                if list(each.positions) != wanted[each.query]
            ]
        for task in (*self._tasks, *self._idling):
            if task.done() and not task.cancelled():
                task.result()
        latencies = self._latencies(question.commits) if question.commits else []
        report.measured = len(latencies)
        report.latencies = [
            latencies[min(len(latencies) - 1, len(latencies) * mille // 1000)]
            for mille in range(1001)
            if latencies
        ]
        report.deliveries = sum(each.deliveries for each in self.readers)
        report.connections = sum(each.connections for each in self.readers)
        report.refused = sum(each.refused for each in self.readers)
        report.resets = sum(each.resets for each in self.readers)
        report.least_resets = min((each.resets for each in self.readers), default=0)
        report.cpu_seconds = time.process_time()
        return report

    async def _caught_up(self, seconds: float) -> list[str]:
        until = time.monotonic() + seconds
        while late := sum(each.caught_up_at is None for each in self.readers):
            if time.monotonic() > until:
                return [f"{late} clients have not caught up after {seconds:g} s"]
            await asyncio.sleep(0.02)
        return []

    async def _reach(self, positions: Mapping[str, int], seconds: float) -> list[str]:
        until = time.monotonic() + seconds
        while late := [
            each
            for each in self.readers
            if (each.positions[-1] if each.positions else 0) != positions[each.query]
        ]:
            if time.monotonic() > until:
                at = sorted({each.positions[-1] if each.positions else 0 for each in late})
                return [f"{len(late)} clients are at {at[:5]} after {seconds:g} s"]
            await asyncio.sleep(0.02)
        return []

    def _latencies(self, commits: Mapping[int, float]) -> list[float]:
        now = time.monotonic()
        found: list[float] = []
        for each in self.readers:
            arrived = dict(zip(each.positions, each.times, strict=True))
            live = [*each.live, *([] if each.caught_up_at is None else [(each.caught_up_at, now)])]
            starts = [start for start, _ in live]
            for position, committed_at in commits.items():
                at = arrived.get(position)
                which = bisect_left(starts, committed_at) - 1
                if at is not None and which >= 0 and at <= live[which][1]:
                    found.append(at - committed_at)
        found.sort()
        return found


def _difference(received: list[int], wanted: list[int]) -> str:
    same = next(
        (n for n, (a, b) in enumerate(zip(received, wanted, strict=False)) if a != b),
        min(len(received), len(wanted)),
    )
    return (
        f"{len(received)} events instead of {len(wanted)}; after {same} it has "
        f"{received[same : same + 5]} instead of {wanted[same : same + 5]}"
    )


async def _main(port: int, number: int) -> None:
    clients = Clients(Server("127.0.0.1", port, os.environ["FEED_TOKEN"]), number)
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        report = await clients.answer(msgspec.json.decode(line, type=Question))
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
