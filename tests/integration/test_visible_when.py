"""Subscribers can find out when the read models show an event."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import leader_connection
from eventstore.log import EventLog
from projections.projector import apply_next
from tests.support.line import rows
from tests.support.streams import a_projector, append_run, two_runs

pytestmark = pytest.mark.asyncio

GUIDE = Path(__file__).parents[2] / "docs" / "subscribe.md"


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await leader_connection(database_url)
    try:
        yield connection
    finally:
        await connection.close()


def guide_example() -> Any:
    """The function of the guide, as its readers would copy it."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["wait_until_visible"]


async def test_a_commit_of_the_projector_names_the_version_that_is_visible(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    heard: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()

    def notice(_: object, __: int, channel: str, payload: str) -> None:
        told = json.loads(payload)
        assert (channel, len(told)) == ("spreaview", 3)
        heard.put_nowait((told["spreaview_event_id"], told["version"], told["position"]))

    async with connected(database_url) as connection:
        await connection.add_listener("spreaview", notice)
        streams = [await two_runs(engine, log) for _ in range(2)]
        async with asyncio.timeout(20):
            assert [await heard.get() for _ in range(2)] == [
                (str(stream), 6, 6 * number) for number, stream in enumerate(streams, start=1)
            ]
        await append_run(log, streams[0], 3)
        async with engine.connect() as rolled_back:
            await apply_next(rolled_back, streams)
            await rolled_back.rollback()
        await a_projector(engine).catch_up(streams)
        async with asyncio.timeout(20):
            assert await heard.get() == (str(streams[0]), 9, 15)
        assert heard.empty(), "what was rolled back was not announced, nor what had not moved"


async def test_the_example_of_the_guide_waits_until_the_run_is_visible(
    engine: AsyncEngine, log: EventLog, database_url: str
) -> None:
    stream = uuid4()
    await append_run(log, stream, 1)
    async with connected(database_url) as connection:
        visible = asyncio.create_task(guide_example()(connection, stream, 3))
        shown = asyncio.create_task(_status_when(visible, engine, stream))
        await asyncio.sleep(0)
        assert not visible.done()
        await a_projector(engine).catch_up([stream])
        async with asyncio.timeout(4):  # less than the example waits without a notification
            assert await shown == "completed"
        async with asyncio.timeout(4):
            await guide_example()(connection, stream, 2)  # visible already


async def _status_when(visible: asyncio.Task[None], engine: AsyncEngine, stream: UUID) -> object:
    await visible
    (run,) = await rows(engine, "sync_runs", stream)
    return run["status"]
