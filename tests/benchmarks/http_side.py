"""The HTTP side against routes of the same server that do the least.

Prints ratios of one run: a schedule of 500 sessions against a constant of the same size after one
row was read (at least 0.9), a 304 against an empty answer after one row (at least 0.8), and a
request that waits for its report against the sync alone (at most 10 ms longer in the median). The
server and the load are processes of their own, and connections are kept alive. The routes to
compare with are added here; the product does not have them.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.connections import Addresses, database
from cli.logs import configure_logging
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from cli.serving_api import serving_http_side
from cli.settings import Settings
from eventstore.migrate import migrate
from messaging.connection import KafkaConnection
from messaging.requests import publish_request
from projections.http.application import Security
from projections.prepare import prepare
from tests.support.line import Line, a_request, the_line
from tests.support.sessionize.answers import Answer

API_ID = "bench500"
WINDOW = conference_window()
CONNECTIONS = 4
_CONSTANT = "/benchmark/constant"
_NOTHING = "/benchmark/nothing"
_LOOK_SECONDS = 0.002

_ONE_ROW = text("""
    SELECT version, position FROM spreaview.stream_progress WHERE spreaview_event_id = :event_id
""")


class Measured(NamedTuple):
    """One round of load."""

    per_second: float
    """Requests."""
    cpu_seconds: float
    """CPU time of the server per request."""


# --- the server: a process of its own ---------------------------------------------------------


def least_routes(engine: AsyncEngine, event_id: UUID) -> tuple[Route, ...]:
    """Routes that read one row by its key and answer a constant, or nothing."""
    rows = engine.execution_options(isolation_level="AUTOCOMMIT")
    bodies: dict[int, bytes] = {}

    async def read() -> None:
        async with rows.connect() as connection:
            (await connection.execute(_ONE_ROW, {"event_id": event_id})).one()

    async def constant(request: Request) -> Response:
        await read()
        size = int(request.path_params["size"])
        if size not in bodies:
            bodies[size] = b"x" * size
        return Response(bodies[size], media_type="application/json")

    async def nothing(_: Request) -> Response:
        await read()
        return Response(status_code=304)

    return Route(f"{_CONSTANT}/{{size}}", constant), Route(_NOTHING, nothing)


async def serve(database_url: str, broker: str, event_id: UUID) -> None:
    """Serve until standard input ends; prints the address."""
    configure_logging("ERROR", "console")
    settings = Settings(database_url=database_url)
    addresses = Addresses(database_url, KafkaConnection(broker), "http://127.0.0.1:9", False)
    async with database(database_url, settings.database_pool) as engine:
        routes = least_routes(engine, event_id)
        async with serving_http_side(settings, addresses, Security(None), health=routes) as served:
            print(served.url, flush=True)
            await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def child(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a part of this module as a process, which ends with its input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.http_side", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


# --- the load: a process of its own -----------------------------------------------------------


async def load(url: str, target: str, headers: dict[str, str], seconds: float) -> int:
    """Send one request after the other on each connection; returns how many were answered."""
    place = urlsplit(url)
    lines = [f"GET {target} HTTP/1.1", f"Host: {place.netloc}"]
    request = "\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode()
    until = time.monotonic() + seconds

    async def one_connection() -> int:
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**20)
        answered = 0
        while time.monotonic() < until:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head[9:12] in (b"200", b"304"), head
            _, found, rest = head.partition(b"content-length: ")
            if found:
                await reader.readexactly(int(rest.partition(b"\r\n")[0]))
            answered += 1
        writer.close()
        return answered

    return sum(await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS))))


def load_as_asked() -> None:
    """Do a round of load for each line of standard input, and print its number of answers."""
    for line in sys.stdin:
        print(asyncio.run(load(*json.loads(line))), flush=True)


class Load(NamedTuple):
    """The process that sends requests, and the server that it sends them to."""

    process: asyncio.subprocess.Process
    url: str
    server: psutil.Process
    seconds: float

    async def round(self, target: str, headers: dict[str, str]) -> Measured:
        """One round of load."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before = sum(self.server.cpu_times()[:2])
        words = json.dumps([self.url, target, headers, self.seconds])
        self.process.stdin.write(words.encode() + b"\n")
        answered = int(await self.process.stdout.readline())
        cpu = sum(self.server.cpu_times()[:2]) - before
        return Measured(answered / self.seconds, cpu / answered)


async def ratio(
    name: str,
    at_least: float,
    measure: Callable[[bool], Awaitable[Measured]],
    rounds: int,
) -> None:
    """Measure the route and the least one in turn, and print a row."""
    taken: dict[bool, list[Measured]] = {False: [], True: []}
    for number in range(2 * rounds):
        ours = number % 4 in (1, 2)  # least, ours, ours, least
        taken[ours].append(await measure(ours))
    ours_rate, least_rate = (
        statistics.median(m.per_second for m in taken[x]) for x in (True, False)
    )
    ours_cpu, least_cpu = (
        statistics.median(m.cpu_seconds for m in taken[x]) for x in (True, False)
    )
    print(
        f"{name:<28} {ours_rate / least_rate:5.2f} (at least {at_least})   "
        f"{ours_rate:6.0f}/s against {least_rate:6.0f}/s; "
        f"CPU {1e6 * ours_cpu:4.0f} µs against {1e6 * least_cpu:4.0f} µs: "
        f"{least_cpu / ours_cpu:.2f}",
        flush=True,
    )


# --- the whole --------------------------------------------------------------------------------


async def waiting(line: Line, url: str, event_id: UUID, syncs: int) -> None:
    """Compare a request that waits with the sync alone: publish, and look until it has ended."""
    alone: list[float] = []
    over_http: list[float] = []
    body: dict[str, Any] = {
        "organization_id": str(a_request(API_ID, WINDOW).organization_id),
        "sessionize_api_id": API_ID,
        "window": {
            "starts_on": str(WINDOW.starts_on),
            "ends_on": str(WINDOW.ends_on),
            "time_zone": WINDOW.time_zone,
        },
    }
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for number in range(2 * syncs):
            began = time.monotonic()
            if number % 4 in (1, 2):
                answer = await client.post(
                    f"/v1/events/{event_id}/syncs",
                    json=body | {"request_id": str(uuid4())},
                    headers={"Prefer": "wait=60"},
                )
                assert answer.status_code == 200, answer.text
                over_http.append(time.monotonic() - began)
            else:
                request = a_request(API_ID, WINDOW, event_id=event_id)
                await publish_request(line.producer, request)
                await _ended(line, request.request_id)
                alone.append(time.monotonic() - began)
    difference = statistics.median(over_http) - statistics.median(alone)
    print(
        f"{'POST with Prefer: wait':<28} {1000 * difference:+5.1f} ms (at most +10)   "
        f"{1000 * statistics.median(over_http):.1f} ms against "
        f"{1000 * statistics.median(alone):.1f} ms for the sync alone"
    )


_ENDED = text("""
    SELECT status <> 'running' FROM spreaview.sync_runs WHERE sync_id = :sync_id
""")


async def _ended(line: Line, sync_id: UUID) -> None:
    rows = line.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with rows.connect() as connection:
        while not (await connection.execute(_ENDED, {"sync_id": sync_id})).scalar_one_or_none():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)


async def main(rounds: int, seconds: float, syncs: int) -> None:
    """Measure, and print."""
    configure_logging("ERROR", "console")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder / "postgres") as url, kafka(log_path=folder / "kafka") as broker:
            async with database(url, pool_size=2) as engine:
                await migrate(engine)
                await prepare(engine)
            async with the_line(broker, url) as line:
                schedule = encode_conference(conference(API_ID, sessions=500))
                line.double.documents.put(API_ID, Answer(schedule))
                request = a_request(API_ID, WINDOW)
                await line.sync(request)
                await _compare(
                    line, url, broker, request.spreaview_event_id, rounds, seconds, syncs
                )


async def _compare(
    line: Line, url: str, broker: str, event_id: UUID, rounds: int, seconds: float, syncs: int
) -> None:
    path = f"/v1/events/{event_id}/schedule"
    plain = {"Accept-Encoding": "identity"}
    async with child("serve", url, broker, str(event_id)) as server, child("load") as loading:
        assert server.stdout is not None
        address = (await server.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=address) as client:
            answer = await client.get(path, headers=plain)
        size = len(answer.content)
        known = {"If-None-Match": answer.headers["etag"]}
        print(f"the schedule of 500 sessions has {size} bytes", flush=True)

        load = Load(loading, address, psutil.Process(server.pid), seconds)

        async def schedule(ours: bool) -> Measured:
            return await load.round(path if ours else f"{_CONSTANT}/{size}", plain)

        async def unchanged(ours: bool) -> Measured:
            return await load.round(path if ours else _NOTHING, known)

        await ratio("schedule against a constant", 0.9, schedule, rounds)
        await ratio("304 against nothing", 0.8, unchanged, rounds)
        await waiting(line, address, event_id, syncs)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", *given]:
            asyncio.run(serve(given[0], given[1], UUID(given[2])))
        case ["load"]:
            load_as_asked()
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--rounds", type=int, default=6)
            parser.add_argument("--seconds", type=float, default=3)
            parser.add_argument("--syncs", type=int, default=40)
            chosen = parser.parse_args()
            asyncio.run(main(chosen.rounds, chosen.seconds, chosen.syncs))
