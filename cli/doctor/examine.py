"""Runs the checks concurrently, each within its time, and all within theirs."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from cli.doctor.findings import Check, Finding, Result, Server, Verdict, not_checked, problem
from cli.doctor.installation import Installation
from cli.doctor.texts import split_remedy
from cli.errors import CommandError, MissingRightError
from cli.servers import database_errors, kafka_errors
from cli.settings import SettingsError
from contracts.error_text import describe_error
from eventstore.damage import DamagedLogError
from eventstore.libpq_url import without_password
from eventstore.schema_version import SchemaVersionError

logger = logging.getLogger(__name__)

_AT_ONCE = 6
"""More would share the processor, and each would take longer than it has time for."""
_REMEDIES = {
    Server.DATABASE: "check SPREAVIEW_DATABASE_URL, the server, the network and its DNS",
    Server.LOG: "look at the sessions of PostgreSQL: one may hold the lock of a table",
    Server.KAFKA: "check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS, the broker, the network and its DNS",
}


class Examination(NamedTuple):
    """The findings of all checks, in the order of the checks."""

    findings: list[Finding]
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether nobody has to act."""
        return not any(finding.needs_action for finding in self.findings)

    def number(self, verdict: Verdict) -> int:
        """The number of findings with a verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """The document of `doctor --json`."""
        return {
            "well": self.is_well,
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_json() for finding in self.findings],
        }


async def examine(installation: Installation, checks: Sequence[Check]) -> Examination:
    """Run the checks. No check raises; one that does not end in time is not checked."""
    began = time.monotonic()
    asyncio.get_running_loop().set_exception_handler(_ignore_given_up)
    limits = installation.limits
    running = _Running(installation)
    tasks = [asyncio.ensure_future(running.run(check)) for check in checks]
    await asyncio.wait(tasks, timeout=limits.all_seconds)
    findings = []
    for check, task in zip(checks, tasks, strict=True):
        late = [not_checked(f"no time was left: all checks have {limits.all_seconds:.0f} s")]
        results = task.result() if task.done() else late
        task.cancel()
        findings += [_finding(check, result) for result in results]
    return Examination(findings, time.monotonic() - began)


def _ignore_given_up(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A check that is given up leaves connections for the end of the process to close."""
    logger.debug("%s", context.get("message"))


class _Running:
    """The state that the checks of one examination share."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._limits = installation.limits
        self._places = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()
        self._away = {server: loop.create_future() for server in Server}
        """By precondition: why it is not fulfilled, empty if it is."""

    async def run(self, check: Check) -> Sequence[Result]:
        """Run one check as soon as its preconditions are known."""
        away = ""
        for server in check.needs:
            away = away or await self._away[server]
        results, reason = ([not_checked(away)], away) if away else await self._look(check)
        if check.reaches is not None:
            if check.reaches is Server.KAFKA:
                self._installation.kafka_is_away = reason
            self._away[check.reaches].set_result(reason)
        return results

    async def _look(self, check: Check) -> tuple[Sequence[Result], str]:
        """The results of a check, and why others cannot rely on it; empty if they can."""
        async with self._places:
            looking = asyncio.ensure_future(self._within_errors(check))
            done, _ = await asyncio.wait({looking}, timeout=self._limits.check_seconds)
        if not done:
            looking.cancel()  # without waiting for its end: a server may not answer
            silence = f"no answer within {self._limits.check_seconds:.0f} s"
            if check.reaches is None:
                return [not_checked(silence)], silence
            remedy = _REMEDIES[check.reaches]
            where = self._address(check.reaches)
            sentence = f"{where} does not answer: {silence}"
            return [problem(sentence, remedy)], f"{check.reaches} does not answer"
        try:
            return looking.result(), ""
        except (CommandError, SettingsError, SchemaVersionError, DamagedLogError) as error:
            return self._failed(check, error)
        except Exception as error:  # a fault of the check must not hide the other findings
            logger.debug("check %s: %s", check.name, describe_error(error))
            return [not_checked(f"the check failed: {describe_error(error)}")], "it is not known"

    def _address(self, server: Server) -> str:
        """A server with its address, as the sentences about its errors have it."""
        addresses = self._installation.addresses
        if server is Server.KAFKA:
            return f"Kafka at {addresses.kafka}"
        return f"PostgreSQL at {without_password(addresses.database_url)}"

    async def _within_errors(self, check: Check) -> Sequence[Result]:
        """Run a check; errors of its server, also a time-out, become errors of commands."""
        addresses = self._installation.addresses
        servers = {*check.needs, check.reaches}
        with ExitStack() as errors:
            if Server.DATABASE in servers:
                errors.enter_context(database_errors(addresses.database_url))
            elif Server.KAFKA in servers:
                errors.enter_context(kafka_errors(addresses.kafka))
            return await check.look(self._installation)

    def _failed(self, check: Check, error: Exception) -> tuple[Sequence[Result], str]:
        sentence, remedy = split_remedy(str(error))
        if isinstance(error, MissingRightError):
            return [not_checked(sentence, remedy, is_hidden=True)], sentence
        if check.reaches is None:
            return [not_checked(sentence, remedy)], sentence
        how = "does not answer" if "does not answer" in sentence else "cannot be used"
        return [problem(sentence, remedy)], f"{check.reaches} {how}"


def _finding(check: Check, result: Result) -> Finding:
    return Finding(
        check.name,
        result.verdict,
        result.sentence,
        result.remedy,
        result.see or check.see,
        result.is_hidden,
    )
