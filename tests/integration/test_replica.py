"""`SPREAVIEW_READ_DATABASE_URL` names a real streaming replica that lags."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio

from cli.connections import database
from cli.sandbox.conference import conference_window
from cli.sandbox.postgres import postgres
from eventstore.connection import READ_VARIABLE
from eventstore.migrate import migrate
from projections.prepare import prepare
from tests.support.http_side import the_http_side
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.processes import PATIENCE, environment, run
from tests.support.replica import Replica, streaming_replica

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()


class Scene(NamedTuple):
    """The line on a primary, and its replica."""

    line: Line
    replica: Replica

    async def request(self, request_id: object, seconds: float) -> CompletedProcess[str]:
        """Run `request --wait` with the replica."""
        addresses = self.line.addresses
        words = (
            *("request", "--wait", "--timeout", str(seconds), "--request-id", str(request_id)),
            *("--event-id", "00000000-0000-4000-8000-000000000009", "--api-id", "demo2026"),
            *("--organization-id", str(ORGANIZATION), "--time-zone", WINDOW.time_zone),
            *("--from", str(WINDOW.starts_on), "--to", str(WINDOW.ends_on)),
        )
        env = environment(
            database_url=addresses.database_url,
            read_database_url=self.replica.url,
            kafka_bootstrap_servers=addresses.kafka.bootstrap_servers,
        )
        return await asyncio.to_thread(run, *words, env=env)


@pytest_asyncio.fixture
async def scene(own_kafka: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with postgres(tmp_path / "primary", settings={"fsync": "off"}) as url:
        async with database(url, pool_size=2) as engine:
            await migrate(engine)
            await prepare(engine)
        async with (
            streaming_replica(url, tmp_path) as replica,
            the_line(own_kafka, url) as line,
        ):
            yield Scene(line, replica)


async def test_a_waiting_request_answers_when_the_replica_shows_the_outcome(scene: Scene) -> None:
    await scene.replica.pause()
    request_id = uuid4()
    behind = await scene.request(request_id, 5)
    assert (await scene.line.ended(request_id))["status"] == "completed"
    assert behind.returncode == 1
    assert f"sync {request_id} has ended, but its outcome is not visible" in behind.stderr
    assert READ_VARIABLE in behind.stderr
    assert "is a worker running" not in behind.stderr

    waiting = asyncio.ensure_future(scene.request(request_id, 60))
    await scene.replica.resume()
    caught_up = await waiting
    assert caught_up.returncode == 0, caught_up.stderr
    assert "This sync was already done at" in caught_up.stdout

    follows = await scene.request(uuid4(), 60)
    assert follows.returncode == 0, follows.stderr


async def test_a_page_that_the_replica_has_not_reached_is_not_there_yet(scene: Scene) -> None:
    async with the_http_side(scene.line, read_database_url=scene.replica.url) as side:
        reached = (await scene.line.sync(a_request("demo2026", WINDOW)))["position"]
        before = {"after": str(reached)}
        async with asyncio.timeout(PATIENCE):
            while (await side.client.get("/v1/events", params=before)).status_code != 200:
                pass
        await scene.replica.pause()
        beyond = (await scene.line.sync(a_request("demo2026", WINDOW)))["position"]
        lags = await side.client.get("/v1/events", params={"after": str(beyond)})
        assert (lags.status_code, lags.json()["type"]) == (409, "urn:spreaview:problem:not-yet")
        assert str(beyond) in lags.json()["detail"]

        await scene.replica.resume()
        async with asyncio.timeout(PATIENCE):
            while (
                found := await side.client.get("/v1/events", params={"after": str(beyond)})
            ).status_code != 200:
                assert found.status_code == 409
