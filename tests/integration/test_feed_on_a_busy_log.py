"""The feed while events of other subscribers come without a pause."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.commands.token import write_token
from projections.http.feed.routes import Feed
from projections.http.tokens import Scope, Tokens
from tests.support.http_side import http_side_without_kafka
from tests.support.processes import PATIENCE
from tests.support.streams import append_started

pytestmark = pytest.mark.asyncio

FEED = "/v1/import-events"
STREAM = {"Accept": "text/event-stream"}
OURS, THEIRS = UUID(int=1), UUID(int=2)


@asynccontextmanager
async def busy(engine: AsyncEngine, organization_id: UUID) -> AsyncIterator[None]:
    """Append an event of an organization every 0.05 seconds while the block runs."""

    async def work() -> None:
        while True:
            await append_started(engine, organization_id)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def remove_the_token(content: Any) -> None:
    content["tokens"].clear()


def remove_an_organization(content: Any) -> None:
    content["tokens"][0]["organizations"].remove(str(OURS))


@pytest.mark.parametrize("revoke", [remove_the_token, remove_an_organization])
async def test_a_stream_ends_soon_after_its_token_lost_a_right(
    engine: AsyncEngine, database_url: str, tmp_path: Path, revoke: Callable[[Any], None]
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "reader", [Scope.READ], [OURS, THEIRS])
    headers = STREAM | {"Authorization": f"Bearer {token}"}
    async with (
        http_side_without_kafka(database_url, Tokens(path), feed_heartbeat_seconds=0.2) as http,
        busy(engine, OURS),
        http.client.stream("GET", FEED, headers=headers) as stream,
        asyncio.timeout(PATIENCE),
    ):
        lines = stream.aiter_lines()
        async for line in lines:
            if line == "event: sync-started":
                break
        content = msgspec.json.decode(path.read_bytes())
        revoke(content)
        path.write_bytes(msgspec.json.encode(content))
        async for _ in lines:
            pass  # it ends


@pytest.mark.parametrize(
    ("params", "allowed"),
    [
        ({"organization_id": str(OURS)}, [OURS, THEIRS]),
        ({"type": "sync-failed"}, [OURS, THEIRS]),
        ({}, [OURS]),
    ],
    ids=["organization", "type", "token"],
)
async def test_a_stream_whose_filter_passes_nothing_gets_heartbeats_that_move_its_cursor(
    engine: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    params: dict[str, str],
    allowed: list[UUID],
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "reader", [Scope.READ], allowed)
    headers = STREAM | {"Authorization": f"Bearer {token}"}
    async with (
        http_side_without_kafka(database_url, Tokens(path), feed_heartbeat_seconds=0.2) as http,
        busy(engine, THEIRS),
        http.client.stream("GET", FEED, params=params, headers=headers) as stream,
        asyncio.timeout(PATIENCE),
    ):
        positions: list[int] = []
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                positions.append(int(line.split(":")[2]))
                if len({*positions}) == 5:
                    break
    assert positions == sorted(positions)


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "wait=60"}], ids=["page", "long poll"])
async def test_a_page_of_a_rare_type_answers_in_time_and_leads_on(
    engine: AsyncEngine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    prefer: dict[str, str],
) -> None:
    monkeypatch.setattr("projections.http.feed.pages.PAGE", 2)
    monkeypatch.setattr("cli.api.Feed", partial(Feed, scan_seconds=0.0))
    for _ in range(5):
        head = await append_started(engine)
    positions: list[int] = []
    async with http_side_without_kafka(database_url, feed_bytes=1) as http:
        after, caught_up = "start", False
        while not caught_up:
            headers = {} if len(positions) == 2 else prefer  # the last one would wait
            params = {"type": "sync-failed", "after": after}
            page = (await http.client.get(FEED, params=params, headers=headers)).json()
            after, caught_up = page["next"], page["caught_up"]
            assert page["events"] == []
            positions.append(int(after.split(":")[1]))
    assert positions == [head - 3, head - 1, head]
