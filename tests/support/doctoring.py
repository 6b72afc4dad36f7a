"""A healthy system on real servers, and the doctor that examines it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.commands.doctor import report_examination
from cli.connections import database
from cli.doctor.installation import Limits
from cli.sandbox.conference import conference_window
from cli.settings import Settings
from cli.waiting import run_ended
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from projections.queries import Queries
from tests.support.apache_kafka import own_broker
from tests.support.line import a_request
from tests.support.processes import PATIENCE, environment, run
from tests.support.services import service
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import sessionize_double

Findings = list[dict[str, Any]]

WINDOW = conference_window()
PATIENT = Limits(30.0, 20.0, 60.0)
"""Loaded machines are slow; the limits have tests of their own."""


@dataclass
class Site:
    """PostgreSQL, Apache Kafka, Sessionize's double, a worker and a projector."""

    folder: Path
    settings: Mapping[str, str]
    engine: AsyncEngine
    services: ExitStack
    slowest: float = field(default=0.0)
    """Seconds of the longest examination."""

    @property
    def kafka(self) -> KafkaConnection:
        return KafkaConnection(self.settings["kafka_bootstrap_servers"])

    async def doctor(self, **settings: str) -> Findings:
        """Examine the system in this process."""
        given: dict[str, Any] = {**self.settings, **settings}
        answer = await report_examination(Settings(**given), PATIENT)
        document = answer.json
        assert isinstance(document, dict)
        assert answer.exit_code == (0 if document["well"] else 1)
        self.slowest = max(self.slowest, document["seconds"])
        return list(document["findings"])

    async def doctor_process(
        self, *, exit_code: int, given: Mapping[str, str] | None = None, **settings: str
    ) -> dict[str, Any]:
        """Run the command; its JSON document. `given` are further variables, by their names."""
        variables = environment(**{**self.settings, **settings}) | dict(given or {})
        done = await asyncio.to_thread(run, "doctor", "--json", env=variables)
        assert done.returncode == exit_code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return dict(json.loads(done.stdout))

    async def until_green(self) -> None:
        """Wait until every check is well."""
        findings: Findings = []
        try:
            async with asyncio.timeout(PATIENCE):
                while (findings := await self.doctor()) and not is_green(findings):
                    pass
        except TimeoutError:
            raise AssertionError(unwell(findings)) from None

    async def finding(self, check: str, verdict: str, words: str, **settings: str) -> Findings:
        """Examine until a check has this finding; all findings of that examination."""
        findings: Findings = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    findings = await self.doctor(**settings)
                    for one in findings:
                        is_this = (one["check"], one["verdict"]) == (check, verdict)
                        if is_this and words in one["sentence"]:
                            return findings
        except TimeoutError:
            raise AssertionError(unwell(findings)) from None

    async def execute(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def value(self, statement: str) -> object:
        """The value that a statement returns."""
        async with self.engine.connect() as connection:
            return (await connection.execute(text(statement))).scalar_one()

    async def sync(self) -> None:
        """Import a conference."""
        request = a_request("demo2026", WINDOW)
        async with producing(self.kafka) as producer:
            await publish_request(producer, request)
        await run_ended(Queries(self.engine), request.request_id, PATIENCE)


def unwell(findings: Findings) -> Findings:
    """The findings that are not ok."""
    return [finding for finding in findings if finding["verdict"] != "ok"]


def is_green(findings: Findings) -> bool:
    """Whether every finding is ok."""
    return not unwell(findings)


@asynccontextmanager
async def healthy_site(folder: Path, database_url: str) -> AsyncIterator[Site]:
    """A system in which all is well, on a migrated database."""
    async with (
        own_broker(folder) as broker,
        sessionize_double(Documents()) as sessionize,
        database(database_url, pool_size=4) as engine,
    ):
        settings = {
            "database_url": database_url,
            "kafka_bootstrap_servers": broker.address,
            "kafka_partitions": "3",
            "sessionize_base_url": sessionize.base_url,
            "data_dir": str(folder),
        }
        fast = {"kafka_transactions": "true", "kafka_session_seconds": "6"}
        with ExitStack() as services:
            worker = services.enter_context(service("worker", folder, **settings, **fast))
            projector = services.enter_context(service("projector", folder, **settings, **fast))
            await worker.line(event="WORKER: ready")
            await projector.line(event="PROJECTOR: ready")
            site = Site(folder, settings, engine, services)
            await site.sync()
            await site.until_green()
            yield site
