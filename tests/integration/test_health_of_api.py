"""The health of `api`: it is ready while it can answer queries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.commands.token import write_token
from cli.health import monitor
from cli.serving_api import serving_api
from cli.settings import Settings
from contracts.codec import take_apart
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from messaging import backoff
from projections.http.tokens import Scope
from tests.support.ipv6 import needs_ipv6
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.prometheus import scrape
from tests.support.streams import STARTED, append_started, change_log

pytestmark = pytest.mark.asyncio

FEED = "/v1/import-events"


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_failing", {})
    monkeypatch.setattr(monitor, "_CHECK_SECONDS", 1.0)


class Api(NamedTuple):
    """A running `api`."""

    client: httpx.AsyncClient
    tokens: Path
    """Its token file."""

    async def until(self, component: str, *, ok: bool) -> tuple[int, dict[str, Any]]:
        """Wait for a component of `/ready`; the status and the component."""
        async with asyncio.timeout(PATIENCE):
            while True:
                ready = await self.client.get("/ready")
                found: dict[str, Any] = ready.json()["components"].get(component, {})
                if found.get("ok") is ok:
                    return ready.status_code, found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def an_api(folder: Path, database_url: str, **settings: Any) -> AsyncIterator[Api]:
    """Serve the HTTP side without a broker; the client has a token that reads."""
    tokens = folder / "tokens.json"
    token = write_token(tokens, "reader", [Scope.READ], None)
    given: dict[str, Any] = {
        "database_url": database_url,
        "kafka_bootstrap_servers": f"127.0.0.1:{free_port()}",
        "api_tokens_file": tokens,
        "database_pool": 4,
        "health_period_seconds": 0.1,
        "data_dir": folder,
    }
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serving_api(Settings(**(given | settings))) as served,
        httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client,
    ):
        yield Api(client, tokens)


async def test_without_kafka_queries_are_answered_and_the_process_is_ready(
    module_database_url: str, tmp_path: Path
) -> None:
    async with an_api(tmp_path, module_database_url) as api:
        status, kafka = await api.until("Kafka", ok=False)
        assert (status, kafka["needed"]) == (200, False)
        assert "the connection was refused" in kafka["detail"]
        _, restore = await api.until("restore", ok=True)
        assert restore["detail"] == ""
        assert (await api.client.get("/v1/events")).status_code == 200
        shown = await scrape(str(api.client.base_url.join("/metrics")), at=0.0)
        assert shown.value("spreaview_component_ok", component="Kafka") == 0


async def test_a_token_file_that_cannot_be_used_is_reported(
    module_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with an_api(tmp_path, module_database_url) as api:
        await api.until("tokens", ok=True)
        usable = api.tokens.read_bytes()

        api.tokens.write_text("{")
        status, tokens = await api.until("tokens", ok=False)
        assert (status, tokens["needed"]) == (200, False)
        assert f"{api.tokens} cannot be used" in tokens["detail"]
        assert (await api.client.get("/v1/events")).status_code == 200

        api.tokens.unlink()
        assert (await api.client.get("/v1/events")).status_code == 401
        _, tokens = await api.until("tokens", ok=False)

        api.tokens.write_bytes(usable)
        await api.until("tokens", ok=True)
        assert (await api.client.get("/v1/events")).status_code == 200
        logged = [line for line in caplog.messages if line.startswith("tokens")]
        assert [line.partition(":")[0] for line in logged] == [
            "tokens is failing; retrying until it succeeds",
            "tokens still fails",
            "tokens works again",
        ]


async def test_a_feed_that_is_stuck_before_an_event_names_it_to_everybody(
    engine: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = {"Accept": "text/event-stream"}
    stream_id = uuid4()
    started = replace(STARTED, spreaview_event_id=stream_id)
    async with an_api(tmp_path, database_url) as api:
        await api.until("feed", ok=True)
        known = await append_started(engine)
        async with api.client.stream("GET", FEED, headers=streaming) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if line == "event: caught-up":
                    break
            with monkeypatch.context() as newer:
                newer.setattr(
                    "eventstore.append.take_apart", lambda e: take_apart(e)._replace(type="Sung")
                )
                unknown = await EventLog(engine).append(
                    Commit(stream_id, 0, [NewEvent(uuid4(), started)])
                )
            async with asyncio.timeout(PATIENCE):
                async for _ in lines:
                    pass  # it ends
        status, feed = await api.until("feed", ok=False)
        assert (status, feed["needed"]) == (200, False)
        place = f"the event at position {unknown.position} (version 1 of stream {stream_id}, Sung)"
        assert place in feed["detail"]

        page = (await api.client.get(FEED)).json()
        assert [event["position"] for event in page["events"]] == [known]
        assert not page["caught_up"]
        resumed = streaming | {"Last-Event-ID": page["next"]}
        for answer in (
            await api.client.get(FEED, params={"after": "head"}),
            await api.client.get(FEED, params={"after": page["next"]}),
            await api.client.get(FEED, headers=streaming),
            await api.client.get(FEED, headers=resumed),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert place in answer.json()["detail"]
        assert (await api.client.get("/v1/events")).status_code == 200

        known_type = "UPDATE event_store.events SET type = 'SyncStarted' WHERE stream_id = :stream"
        await change_log(engine, known_type, stream=stream_id)
        await api.until("feed", ok=True)
        page = (await api.client.get(FEED, params={"after": page["next"]})).json()
        assert [event["position"] for event in page["events"]] == [unknown.position]
        assert page["caught_up"]


async def test_a_replica_that_answers_is_well(module_database_url: str, tmp_path: Path) -> None:
    async with an_api(tmp_path, module_database_url, read_database_url=module_database_url) as api:
        status, _ = await api.until("replica", ok=True)
        assert status == 200


async def test_without_its_replica_the_process_is_not_ready(
    module_database_url: str, tmp_path: Path
) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/x"
    async with an_api(tmp_path, module_database_url, read_database_url=nowhere) as api:
        status, replica = await api.until("replica", ok=False)
        assert (status, replica["restart_may_help"]) == (503, False)
        assert replica["detail"] == "the connection was refused"
        assert (await api.client.get("/live")).status_code == 200
        assert (await api.client.get("/v1/events")).status_code == 503
        _, restore = await api.until("restore", ok=True)
        assert restore["detail"] == ""


@needs_ipv6
async def test_the_http_side_and_the_health_port_listen_on_ipv6(
    module_database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    async with an_api(tmp_path, module_database_url, http_host="::1", health_port=port) as api:
        assert str(api.client.base_url).startswith("http://[::1]:")
        assert (await api.client.get("/v1/events")).status_code == 200
        assert (await api.client.get(f"http://[::1]:{port}/live")).status_code == 200
