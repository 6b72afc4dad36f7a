"""The runner of `doctor`, and its judgements of numbers."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cli.doctor.clocks import assess
from cli.doctor.database import Space, assess_space
from cli.doctor.examine import Examination, examine
from cli.doctor.findings import Check, Result, Server, Verdict, not_checked, ok, problem, warning
from cli.doctor.installation import LIMITS, Installation, Limits
from cli.doctor.servers import sessionize
from cli.doctor.texts import split_remedy
from cli.errors import CommandError, MissingRightError

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024


class Addresses:
    database_url = "postgresql://user:secret@host/x"
    kafka = "host:9092"
    sessionize_base_url = "https://host"


class Nothing:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    addresses = Addresses()
    kafka_is_away = ""


def a_check(name: str, outcome: object, **more: Any) -> Check:
    """A check that returns a result, raises an error, or never ends."""

    async def look(_: object) -> Sequence[Result]:
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            await asyncio.Event().wait()
        assert isinstance(outcome, Result)
        return [outcome]

    return Check(name, "Settings", look, **more)


async def examined(*checks: Check, limits: Limits = LIMITS) -> Examination:
    installation: Any = Nothing(limits)
    return await examine(installation, checks)


def texts(examination: Examination) -> dict[str, tuple[str, str]]:
    return {one.check: (str(one.verdict), one.sentence) for one in examination.findings}


async def test_a_proxy_that_cannot_be_used_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:9")

    (found,) = await sessionize(cast("Installation", Nothing(LIMITS)))

    assert (found.verdict, found.sentence) == (
        Verdict.PROBLEM,
        "the HTTP proxy of ALL_PROXY cannot be used",
    )
    assert "http:// or https://" in str(found.remedy)


async def test_findings_are_in_the_order_of_the_checks() -> None:
    needy = a_check("needy", ok("well"), needs=(Server.DATABASE,))
    found = await examined(needy, a_check("server", ok("answers"), reaches=Server.DATABASE))
    assert texts(found) == {"needy": ("ok", "well"), "server": ("ok", "answers")}
    assert found.is_well


async def test_a_check_is_left_out_while_its_server_does_not_answer() -> None:
    error = CommandError("Kafka at host does not answer: x\nRemedy: check it.")
    found = await examined(
        a_check("server", error, reaches=Server.KAFKA),
        a_check("needy", ok("well"), needs=(Server.KAFKA,)),
    )
    assert texts(found) == {
        "server": ("problem", "Kafka at host does not answer: x"),
        "needy": ("not checked", "Kafka does not answer"),
    }
    assert found.findings[0].remedy == "check it."
    assert not found.is_well


async def test_a_refusal_is_not_called_silence() -> None:
    found = await examined(
        a_check("server", CommandError("wrong password"), reaches=Server.DATABASE),
        a_check("needy", ok("well"), needs=(Server.DATABASE,)),
    )
    assert texts(found)["needy"] == ("not checked", "PostgreSQL cannot be used")


async def test_a_check_that_does_not_end_is_given_up() -> None:
    short = LIMITS._replace(check_seconds=0.05)
    found = await examined(a_check("stuck", None), a_check("quick", ok("well")), limits=short)
    assert texts(found)["stuck"][0] == "not checked"
    assert texts(found)["quick"] == ("ok", "well")
    assert not found.is_well


async def test_all_checks_end_together() -> None:
    short = LIMITS._replace(all_seconds=0.05)
    found = await examined(a_check("stuck", None), a_check("quick", ok("well")), limits=short)
    assert texts(found)["stuck"][1].startswith("no time was left")
    assert texts(found)["quick"] == ("ok", "well")


async def test_a_fault_of_a_check_hides_no_other_finding_and_no_value() -> None:
    found = await examined(a_check("broken", ValueError("'secret'")), a_check("well", ok("well")))
    assert texts(found)["broken"] == ("not checked", "the check failed: ValueError: …")
    assert texts(found)["well"] == ("ok", "well")


@pytest.mark.parametrize(
    ("result", "is_well"),
    [
        (ok("x"), True),
        (warning("x"), True),
        (problem("x"), False),
        (not_checked("x"), False),
        (not_checked("x", is_hidden=True), True),
        (MissingRightError("the role lacks SELECT ON x"), True),
    ],
    ids=["ok", "warning", "problem", "not checked", "hidden", "missing right"],
)
async def test_somebody_has_to_act(result: object, is_well: bool) -> None:
    assert (await examined(a_check("x", result))).is_well is is_well


async def test_a_remedy_is_taken_out_of_a_sentence() -> None:
    assert split_remedy("X is down.\nRemedy: start it.") == ("X is down", "start it.")
    assert split_remedy("X is old; run: spreaview-sync migrate")[1] == "spreaview-sync migrate"
    assert split_remedy("X refuses. Check Y: its user.") == ("X refuses", "check Y: its user.")
    assert split_remedy("X.") == ("X", None)


@pytest.mark.parametrize(
    ("free", "verdict"), [(10, Verdict.PROBLEM), (500, Verdict.WARNING), (5000, Verdict.OK)]
)
async def test_the_space_on_a_disk_is_judged(free: int, verdict: Verdict) -> None:
    assert assess_space(Path("/data"), Space(9000 * MIB, free * MIB)).verdict is verdict


@pytest.mark.parametrize(
    ("off", "verdict"),
    [
        (timedelta(seconds=2), Verdict.OK),
        (timedelta(seconds=20), Verdict.WARNING),
        (timedelta(hours=-2), Verdict.PROBLEM),
    ],
)
async def test_a_difference_of_clocks_is_judged(off: timedelta, verdict: Verdict) -> None:
    assert assess(off, "the broker", "the database's").verdict is verdict
