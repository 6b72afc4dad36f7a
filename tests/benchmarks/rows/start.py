"""Row 11: the start of the program, in seconds, compared with the start of Python itself."""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx

from tests.benchmarks.harness import Result, Size, Stopwatch, seconds_within
from tests.benchmarks.servers import Servers
from tests.support.ports import free_port
from tests.support.processes import COMMAND, ROOT, environment

_ROUNDS = {"quick": 3, "full": 7, "long": 7}
_LOOK_SECONDS = 0.01
_PATIENCE = 60.0
_EMPTY = "python -c pass"
"""Shows how busy the machine is."""


def _seconds(*command: str) -> float:
    with Stopwatch() as watch:
        subprocess.run(command, check=True, capture_output=True, env=environment(), cwd=ROOT)
    return watch.seconds


async def _until_ready(role: str, url: str, kafka: str) -> float:
    """Seconds from the start of a service until it reports that it is ready."""
    port = free_port()
    settings = environment(
        database_url=url,
        kafka_bootstrap_servers=kafka,
        sessionize_base_url="http://127.0.0.1:9/api/v2",
        health_port=str(port),
        health_period_seconds="0.1",
        log_level="ERROR",
    )
    with Stopwatch() as watch:
        process = await asyncio.create_subprocess_exec(*COMMAND, role, env=settings, cwd=ROOT)
        try:
            async with httpx.AsyncClient() as client, asyncio.timeout(_PATIENCE):
                while not await _is_ready(client, port):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if process.returncode is None:
                process.terminate()
    await process.wait()
    return watch.seconds


async def _is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the seconds of `--help`, and of the start of a worker on existing servers."""
    pairs = [
        (_seconds(*COMMAND, "--help"), _seconds(sys.executable, "-c", "pass"))
        for _ in range(_ROUNDS[size])
    ]
    helped = min(ours for ours, _ in pairs)
    yield seconds_within(
        0.3, "11", "spreaview-sync --help", helped, _EMPTY, min(empty for _, empty in pairs)
    )
    async with servers.kafka() as kafka, servers.database() as (url, _):
        await _until_ready("worker", url, kafka)  # creates the topics
        for role, limit in (("worker", 2.0), ("projector", 2.0)):
            taken = [await _until_ready(role, url, kafka) for _ in range(_ROUNDS[size])]
            empty = min(_seconds(sys.executable, "-c", "pass") for _ in range(3))
            yield seconds_within(
                limit, "11", f"{role} ready", statistics.median(taken), _EMPTY, empty
            )
