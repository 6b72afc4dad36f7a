"""The monitor: it ends when it is cancelled, also in the moment in which it is woken."""

import asyncio

import pytest

from cli.health.monitor import Monitor
from cli.health.probes import Probe, Workload

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
