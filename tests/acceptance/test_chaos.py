"""A short chaos run: no event is lost, repeated, inverted or half-applied, and each run ends.

Clients of the HTTP side see nothing older than they asked for, and no time that goes back.
"""

import os
from pathlib import Path

import pytest

from tests.support.chaos.run import Size, run

pytestmark = pytest.mark.asyncio

SEED = int(os.environ.get("SPREAVIEW_TEST_CHAOS_SEED", "20263271"))
"""By default a seed whose 30 faults hit every target and need little time."""
SHORT = Size(faults=30, requests=60, events=6, feeds=5, settle_seconds=60)


async def test_a_stack_of_processes_survives_a_short_run_of_chaos(tmp_path: Path) -> None:
    report = await run(SEED, SHORT, tmp_path)
    print(report.table())
    assert not report.findings, report.table()
    assert sum(report.faults.values()) + report.left_out == SHORT.faults
    assert report.numbers["requests"] >= SHORT.requests
    assert report.numbers["runs completed"] > 0
    assert report.numbers["schedules read"] > 0
    assert report.numbers["deliveries of the feed"] > 0
