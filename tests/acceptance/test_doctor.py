"""`spreaview-sync doctor` is green on a healthy system, and finds and explains faults.

`tests/acceptance/soak_doctor.py` is the long form with all faults.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cli.doctor.checks import CHECKS
from cli.doctor.findings import Server
from cli.doctor.installation import LIMITS
from tests.support.doctor_faults import FAULTS, IN_CI, Fault, found_and_healed
from tests.support.doctoring import Site, healthy_site, is_green, unwell
from tests.support.failure_table import PAGE, rows
from tests.support.ports import free_port, full_queue
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
    "A person asks to be forgotten": "describes what a worker does by itself, and a command",
    "Requests wait": "an alert; the check of requests finds the same",
    "Sessionize does not answer": "an alert; the check of Sessionize finds the same",
    "Syncs end as internal_error": "an alert about runs that have ended",
    "Traces": "describes a setting",
}
"""Headings of the runbook without a check, each with the reason."""
FAILURES_WITHOUT_A_CHECK = {
    "the person to erase is unknown": "an operator has mistyped an id",
    "a rebuild refuses to switch": "a command that an operator runs ends with it",
    "an open run ended as internal_error": "it has ended; nothing is left to mend",
}
"""Rows of the table of failures without a check, each with the reason."""
NEEDS = {
    check.name: "PostgreSQL" if Server.DATABASE in check.needs else "Kafka"
    for check in CHECKS
    if check.needs
}
"""By check that needs a server: the first that it needs."""


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


@dataclass(frozen=True)
class Outage:
    """A way in which every server is down, and how the doctor explains it."""

    address: str
    database: str
    kafka: str
    sessionize: str


PROMISED_SECONDS = 10.0
"""For the whole command, with its start and its end."""
REFUSED = "the connection was refused"
SILENT = "no answer within 3 s"
SLOW_NAMES = """
import socket, threading
look_up = socket.getaddrinfo

def wait(host, *more, **named):
    if ".example" in str(host):
        threading.Event().wait(600)
    return look_up(host, *more, **named)

socket.getaddrinfo = wait
"""
"""A name server that does not answer, as a program of the process meets it."""


@contextmanager
def refusing() -> Iterator[Outage]:
    """Nothing listens."""
    yield Outage(f"127.0.0.1:{free_port()}", REFUSED, REFUSED, REFUSED)


@contextmanager
def silent() -> Iterator[Outage]:
    """The servers accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1]
        yield Outage(f"127.0.0.1:{port}", SILENT, SILENT, "no answer in time")


@contextmanager
def black_hole() -> Iterator[Outage]:
    """Nobody answers, as behind a firewall that drops packets."""
    with full_queue() as port:
        yield Outage(f"127.0.0.1:{port}", SILENT, SILENT, "no answer in time")


@contextmanager
def no_names() -> Iterator[Outage]:
    """The name server does not answer."""
    yield Outage("servers.example:5432", SILENT, SILENT, "no answer in time")


@pytest.mark.parametrize(
    "outage", [refusing, silent, black_hole, no_names], ids=lambda outage: str(outage.__name__)
)
async def test_everything_down_is_explained_in_time(
    tmp_path: Path, outage: Callable[[], AbstractContextManager[Outage]]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_NAMES)
    with outage() as down:
        url = f"postgresql://postgres@{down.address}/x"
        settings = {
            "database_url": url,
            "kafka_bootstrap_servers": down.address,
            "sessionize_base_url": f"http://{down.address}/api/v2",
            "data_dir": str(tmp_path),
        }
        variables = environment(**settings) | {"PYTHONPATH": str(tmp_path)}
        begun = time.monotonic()
        await asyncio.to_thread(run, "doctor", env=variables | {"SPREAVIEW_LOG_LEVEL": "wrong"})
        began = time.monotonic()
        done = await asyncio.to_thread(run, "doctor", "--json", env=variables)
        seconds, start = time.monotonic() - began, began - begun
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    found = {one["check"]: (one["verdict"], one["sentence"]) for one in document["findings"]}
    problems = {check: text for check, (verdict, text) in found.items() if verdict == "problem"}
    assert problems == {
        "PostgreSQL": f"PostgreSQL at {url} does not answer: {down.database}",
        "Kafka": f"Kafka at {down.address} does not answer: {down.kafka}",
        "Sessionize": f"Sessionize at {down.address} does not answer: {down.sessionize}",
    }
    assert {check: found[check] for check in NEEDS} == {
        check: ("not checked", f"{server} does not answer") for check, server in NEEDS.items()
    }
    assert found["settings"][0] == found["disk"][0] == "ok"
    assert set(found) == {"settings", "disk", *problems, *NEEDS}
    busy = LIMITS.check_seconds + 2 + 4 * start  # on a machine that is busy with other work
    assert seconds < max(PROMISED_SECONDS, busy), (seconds, start, document["seconds"])
