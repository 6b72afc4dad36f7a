"""The chaos oracle detects each seeded fault and reports the guarantee that it breaks.

A lost request and a green health check are tried always, the other faults by `make soak`.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.chaos.oracle.report import Report
from tests.support.chaos.plan import Fault, Kind, Target
from tests.support.chaos.run import Size, befall
from tests.support.chaos.stack import Servers, made_anew, running, servers

pytestmark = pytest.mark.asyncio

SIZE = Size(faults=0, requests=25, events=6, settle_seconds=3)
AWAY = [Fault(0.5, False, Target.TO_POSTGRES, Kind.AWAY, 0, 10.0)]
KILL = [Fault(1.5, False, Target.WORKER, Kind.KILL, 0, 0.0)]


@pytest_asyncio.fixture(scope="module")
async def under(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    async with servers(tmp_path_factory.mktemp("servers")) as under:
        yield under


async def report_on(fault: str, under: Servers, folder: Path, plan: Sequence[Fault] = ()) -> Report:
    """Run chaos on a program with a seeded fault."""
    await made_anew(under)
    async with running(
        under, folder, fault=fault, each=1, apis=(), kafka_session_seconds=1
    ) as stack:
        report = await befall(stack, 1, SIZE, plan)
    print(report.table())
    return report


async def test_chaos_detects_an_offset_committed_before_the_outcome(
    under: Servers, tmp_path: Path
) -> None:
    report = await report_on("offset-before-outcome", under, tmp_path, KILL)
    assert report.findings.counts()["lost"]


@pytest.mark.soak
async def test_chaos_detects_positions_taken_without_the_lock(
    under: Servers, tmp_path: Path
) -> None:
    report = await report_on("no-lock", under, tmp_path)
    assert report.findings.counts()["lost"]


@pytest.mark.soak
async def test_chaos_detects_a_checkpoint_moved_before_the_broker_confirms(
    under: Servers, tmp_path: Path
) -> None:
    report = await report_on("checkpoint-before-publish", under, tmp_path, KILL)
    assert report.findings.counts()["lost"]


@pytest.mark.soak
async def test_chaos_detects_rows_committed_before_their_versions(
    under: Servers, tmp_path: Path
) -> None:
    report = await report_on("versions-apart", under, tmp_path)
    assert report.findings.counts()["half-applied"]


@pytest.mark.soak
async def test_chaos_detects_requests_missing_from_the_inbox(
    under: Servers, tmp_path: Path
) -> None:
    report = await report_on("no-inbox", under, tmp_path)
    assert report.findings.counts()["repeated"]


@pytest.mark.soak
async def test_chaos_detects_lost_signals_without_a_sweep(under: Servers, tmp_path: Path) -> None:
    report = await report_on("no-sweep", under, tmp_path)
    assert report.findings.counts()["differing"]


async def test_a_health_check_that_is_always_green(under: Servers, tmp_path: Path) -> None:
    report = await report_on("always-green", under, tmp_path, AWAY)
    assert report.findings.counts()["misreported"]


@pytest.mark.soak
async def test_chaos_detects_stale_older_and_torn_answers(under: Servers, tmp_path: Path) -> None:
    """One run with three HTTP sides: each has another fault, and the oracle names it."""
    await made_anew(under)
    faults = {
        "stale-answers": "stale",
        "older-answers": "backwards",
        "torn-answers": "half-applied",
    }
    async with running(under, tmp_path, each=1, apis=list(faults)) as stack:
        size = Size(faults=0, requests=40, events=2, readers=4, settle_seconds=180)
        report = await befall(stack, 1, size, ())
    print(report.table())
    for number, kind in enumerate(faults.values()):
        assert any(f"api-{number} " in found for found in report.findings.found[kind]), kind
