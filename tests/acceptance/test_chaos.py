"""A short chaos run: no event is lost, repeated, inverted or half-applied, and each run ends."""

import os
from pathlib import Path

import pytest

from tests.support.chaos.run import Size, run

pytestmark = pytest.mark.asyncio

SEED = int(os.environ.get("SPREAVIEW_TEST_CHAOS_SEED", "20261309"))
SHORT = Size(faults=12, requests=40, events=6, settle_seconds=60)


async def test_a_stack_of_processes_survives_a_short_run_of_chaos(tmp_path: Path) -> None:
    report = await run(SEED, SHORT, tmp_path)
    print(report.table())
    assert not report.findings, report.table()
    assert sum(report.faults.values()) + report.left_out == SHORT.faults
    assert report.numbers["requests"] >= SHORT.requests
    assert report.numbers["runs completed"] > 0
