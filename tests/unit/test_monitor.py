"""The monitor: its end, and the components that it checks while a server is away."""

import asyncio
from pathlib import Path

import pytest

from cli.health.monitor import Monitor
from cli.health.probes import Probe, Workload, database_probe, tokens_probe
from projections.http.tokens import Tokens

pytestmark = pytest.mark.asyncio


async def nothing_to_do() -> list[Workload]:
    return []


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancelled_monitor_ends_while_a_component_is_added(steps: int) -> None:
    """A service that cannot end would stay up without its work."""
    monitor = Monitor(period_seconds=60, stuck_seconds=180)
    running = asyncio.create_task(monitor.run())
    for _ in range(5):
        await asyncio.sleep(0)
    monitor.watch(Probe("late", nothing_to_do))
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=10)
    assert done == {running}
    assert running.cancelled()


async def test_a_wrong_token_file_is_reported_also_without_the_database(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text('{"tokens": []}')
    monitor = Monitor(period_seconds=0.01, stuck_seconds=180)

    async def no_answer() -> None:
        raise OSError("no answer")

    monitor.watch(tokens_probe(Tokens(path)))
    monitor.watch(database_probe(no_answer))
    looked_again = asyncio.Event()
    looks = 0

    async def last() -> list[Workload]:
        nonlocal looks
        looks += 1
        if looks == 2:
            looked_again.set()
        return []

    monitor.watch(Probe("last", last, is_apart=True))
    path.unlink()
    running = asyncio.create_task(monitor.run())
    try:
        async with asyncio.timeout(10):
            await looked_again.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not monitor.components()["PostgreSQL"].ok
    assert "is gone" in monitor.components()["tokens"].detail
