"""`spreaview-sync doctor` is green on a healthy system, and finds and explains faults.

`tests/acceptance/soak_doctor.py` is the long form with all faults.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from cli.doctor.checks import CHECKS
from cli.doctor.installation import LIMITS
from tests.support.doctor_faults import FAULTS, IN_CI, Fault, found_and_healed
from tests.support.doctoring import Site, healthy_site, is_green, unwell
from tests.support.failure_table import PAGE, rows
from tests.support.processes import environment, run
from tests.support.roles import logins

pytestmark = pytest.mark.asyncio

HEADINGS = re.findall(r"^#{2,4} (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
WITHOUT_A_CHECK = {
    "Is all well?": "introduces `status` and `doctor` themselves",
    "Logs": "describes the lines; nothing in it can be wrong",
    "PostgreSQL": "is part of Connect to managed servers",
    "Secrets in files": "a wrong file ends every command at the start with 2",
    "Stopping a process": "describes what a process does by itself",
    "Replaying the log": "describes a command that an operator runs",
    "Back up and restore": "describes a drill; a restore is found by the check of a restored log",
    "Deleting old data": "describes a command that an operator runs",
    "Metrics and alerts": "describes what Prometheus reads",
    "Metrics are missing": "an alert about what Prometheus reads",
    "A process does not answer": "an alert; the check of groups finds what is missing",
    "HTTP requests fail": "an alert about the HTTP side, which an examination does not call",
    "Removals are held back": "an alert about a decision of the organiser",
    "Requests wait": "an alert; the check of requests finds the same",
    "Sessionize does not answer": "an alert; the check of Sessionize finds the same",
    "Syncs end as internal_error": "an alert about runs that have ended",
    "The log is not sealed": "an alert; the check of seals finds the same",
    "Traces": "describes a setting",
}
"""Headings of the runbook without a check, each with the reason."""
FAILURES_WITHOUT_A_CHECK = {
    "the person to erase is unknown": "an operator has mistyped an id",
    "a rebuild refuses to switch": "a command that an operator runs ends with it",
    "an open run ended as internal_error": "it has ended; nothing is left to mend",
}
"""Rows of the table of failures without a check, each with the reason."""


@pytest_asyncio.fixture(scope="module")
async def site(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with healthy_site(tmp_path_factory.mktemp("doctor"), module_database_url) as site:
        yield site


async def test_each_check_names_a_heading_of_the_runbook() -> None:
    assert [check.name for check in CHECKS if check.see not in HEADINGS] == []
    assert len({check.name for check in CHECKS}) == len(CHECKS)


async def test_each_heading_of_the_runbook_has_a_check_or_a_reason() -> None:
    checked = {check.see for check in CHECKS} | {"Connect to managed servers"}
    assert set(HEADINGS) - checked == set(WITHOUT_A_CHECK)


async def test_each_failure_of_the_runbook_has_a_check_or_a_reason() -> None:
    found = [failure for check in CHECKS for failure in check.failures]
    assert set(rows()) - set(found) == set(FAILURES_WITHOUT_A_CHECK)
    assert set(found) <= set(rows())


async def test_a_healthy_system_is_green(site: Site) -> None:
    findings = await site.doctor()
    assert is_green(findings), unwell(findings)
    assert {finding["check"] for finding in findings} == {check.name for check in CHECKS}
    shown = await asyncio.to_thread(run, "doctor", env=environment(**site.settings))
    *lines, blank, verdict = shown.stdout.splitlines()
    late = ("no answer within", "no time was left")  # on a machine that is busy
    assert [line for line in lines if line[:3] != "ok " and not any(t in line for t in late)] == []
    assert (blank, shown.stderr) == ("", "")
    assert (verdict == "All is well.") == (shown.returncode == 0)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.name in IN_CI], ids=str)
async def test_a_fault_is_found_and_explained(site: Site, fault: Fault) -> None:
    await found_and_healed(site, fault)
    await site.until_green()


async def test_the_auditors_role_reads_what_it_needs_and_learns_what_is_hidden(site: Site) -> None:
    urls = await logins(site.settings["database_url"])
    hidden = ("transactions", "this role sees only its own transactions")
    findings = await site.finding(hidden[0], "not checked", hidden[1], database_url=urls["auditor"])
    assert [(one["check"], one["sentence"]) for one in unwell(findings)] == [hidden]


async def test_everything_down_ends_in_time(tmp_path: Path) -> None:
    """Servers that accept connections and never answer: the slowest way to be down."""
    with silent() as port:
        settings = {
            "database_url": f"postgresql://postgres@127.0.0.1:{port}/x",
            "kafka_bootstrap_servers": f"127.0.0.1:{port}",
            "sessionize_base_url": f"http://127.0.0.1:{port}/api/v2",
            "data_dir": str(tmp_path),
        }
        done = await asyncio.to_thread(run, "doctor", "--json", env=environment(**settings))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    found = {one["check"]: (one["verdict"], one["sentence"]) for one in document["findings"]}
    down = [check for check, (verdict, _) in found.items() if verdict == "problem"]
    assert down == ["PostgreSQL", "Kafka", "Sessionize"]
    assert found["relay"] == ("not checked", "PostgreSQL does not answer")
    assert found["topics"] == ("not checked", "Kafka does not answer")
    assert found["settings"][0] == found["disk"][0] == "ok"
    assert document["seconds"] < LIMITS.all_seconds + 1


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]
