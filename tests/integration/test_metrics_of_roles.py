"""A role shows the gauges that it has the rights to read; a server that is down hides its own."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from cli.connections import Addresses
from cli.http_server import serving_http
from cli.settings import Settings
from cli.telemetry import gathering
from cli.telemetry.metrics import METRICS, Kind
from cli.telemetry.telemetry import telemetry_of
from messaging.connection import KafkaConnection
from messaging.topics import declare_topics
from tests.support.documents import document, talk
from tests.support.past import Past
from tests.support.prometheus import Scrape, scrape
from tests.support.roles import logins

pytestmark = pytest.mark.asyncio

OF_KAFKA = {"requests", "erasures", "dead_letters", "seals", "mismatch"}
READINGS = OF_KAFKA | {"relay", "projections", "held_removals", "open_runs"}
NO_SEAL_YET = {"spreaview_seal_age_seconds"}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_FIRST_SECONDS", 60.0)


@pytest_asyncio.fixture
async def kafka(own_kafka: str) -> KafkaConnection:
    connection = KafkaConnection(own_kafka)
    await declare_topics(connection, partitions=3, replication_factor=1, retention_days=1)
    return connection


@asynccontextmanager
async def telemetry(database_url: str, kafka: KafkaConnection) -> AsyncIterator[str]:
    """The address of `/metrics` of a process with these servers."""
    addresses = Addresses(database_url, kafka, "http://127.0.0.1:9/api/v2", False)
    async with (
        telemetry_of("test", "1.0", Settings(metrics_seconds=3600), addresses) as measured,
        serving_http(Starlette(routes=[measured.route]), "127.0.0.1") as port,
    ):
        yield f"http://127.0.0.1:{port}/metrics"


def gauges(found: Scrape) -> set[str]:
    """The names of the gathered gauges that are shown."""
    known = {metric.name for metric in METRICS if metric.kind is Kind.GATHERED}
    return known & {series.partition("{")[0] for series in found.values}


def of(*readings: str) -> set[str]:
    """The names of the gauges of some readings."""
    return {metric.name for metric in METRICS if metric.reading in readings}


@pytest.mark.parametrize(
    ("role", "without"),
    [
        ("worker", {"projections", "held_removals"}),
        ("projector", {"relay", "mismatch"}),
        ("api", set()),
    ],
)
async def test_a_missing_right_leaves_out_the_gauges_of_its_reading_alone(
    engine: AsyncEngine, database_url: str, kafka: KafkaConnection, role: str, without: set[str]
) -> None:
    await Past(engine).imports(document(talk("1")))
    url = (await logins(database_url))[role]
    async with telemetry(url, kafka) as metrics:
        found = await scrape(metrics, at=time.monotonic())
    assert gauges(found) == of(*(READINGS - without)) - NO_SEAL_YET
    assert set(found.values_of("spreaview_gathering_failed")) == {0}
    assert len(found.values_of("spreaview_gathering_failed")) == len(READINGS - without)


async def test_a_server_that_is_down_hides_the_gauges_that_need_it(
    database_url: str, kafka: KafkaConnection
) -> None:
    async with telemetry(database_url, KafkaConnection("127.0.0.1:9")) as metrics:
        found = await scrape(metrics, at=time.monotonic())
    assert gauges(found) == of(*(READINGS - OF_KAFKA))
    failed = found.values_of("spreaview_gathering_failed")
    assert sorted(failed) == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    async with telemetry("postgresql://postgres@127.0.0.1:9/none", kafka) as metrics:
        found = await scrape(metrics, at=time.monotonic())
    assert gauges(found) <= of("dead_letters", "erasures", "requests")
    assert found.value("spreaview_gathering_failed", reading="relay") == 1
