"""A refusal that somebody must act on is logged and shown, and nobody else is red for it."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import uuid4

import pytest

from cli.health.monitor import Monitor
from cli.health.probes import Probe, Workload
from messaging.backoff import log_failing, log_working, variable_of
from messaging.connection import KafkaAccessError

pytestmark = pytest.mark.asyncio


async def test_a_refusal_is_logged_although_the_outage_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    server = f"server {uuid4()}"
    password = KafkaAccessError("wrong password", "PASSWORD")
    authority = KafkaAccessError("wrong authority", "CA_FILE")
    down = OSError("down")
    for error in (down, down, password, password, down, password, authority):
        log_failing(server, str(error), variable=variable_of(error))
    log_working(server)
    said = [line.getMessage().rpartition(": ")[2] for line in caplog.records]
    assert said == ["down", "wrong password", "wrong authority", f"{server} works again"]


async def test_a_component_is_not_red_together_with_the_server_that_it_needs() -> None:
    monitor = Monitor(period_seconds=0.001, stuck_seconds=60)
    monitor.started()
    is_down = False
    red_in_between: list[set[str]] = []
    looked_twice = asyncio.Event()

    async def server() -> Sequence[Workload]:
        if is_down:
            raise OSError("down")
        return []

    async def another_server() -> Sequence[Workload]:
        _, findings = monitor.readiness()
        red_in_between.append({name for name, finding in findings.items() if not finding.ok})
        if len(red_in_between) == 2:
            looked_twice.set()
        return []

    async def component() -> Sequence[Workload]:
        nonlocal is_down
        is_down = True  # in the middle of a round: this one is the first to notice
        raise OSError("the server is down")

    monitor.watch(Probe("server", server, is_server=True))
    monitor.watch(Probe("another server", another_server, is_server=True))
    monitor.watch(Probe("component", component))
    running = asyncio.create_task(monitor.run())
    try:
        async with asyncio.timeout(5):
            await looked_twice.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert red_in_between[1] == {"server"}
