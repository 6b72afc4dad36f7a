"""A COMMIT of PostgreSQL whose answer is lost repeats nothing and loses nothing.

The whole line runs on a proxy that breaks the connection at a chosen COMMIT. The server has carried
it out or has never seen it: the client cannot know.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cli.sandbox.conference import conference_window
from cli.sandbox.kafka import kafka
from contracts import identity
from contracts.topics import IMPORT_EVENTS
from eventstore import append
from eventstore.log import EventLog, Opening, RunRecord
from eventstore.model import Recorded
from messaging.requests import publish_request
from tests.support.apache_kafka import own_broker
from tests.support.chaos.oracle.topic import read_topic
from tests.support.chaos.postgres_proxy import Fate, PostgresProxy, postgres_proxy
from tests.support.line import PATIENCE, Line, a_request, the_line
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio

COMMITS = {
    "start": rb"INSERT INTO event_store\.events.*SyncStarted",
    "outcome": rb"INSERT INTO event_store\.inbox",
    "projector batch": rb"INSERT INTO stream_progress",
    "relay checkpoint": rb"INSERT INTO event_store\.checkpoints",
}


class Scene:
    """The line behind a proxy, and its topic."""

    def __init__(self, line: Line, proxy: PostgresProxy) -> None:
        self.line = line
        self.proxy = proxy

    async def log(self, stream: UUID) -> list[Recorded]:
        return [recorded async for recorded in self.line.log.read_stream(stream)]

    async def published(self, stream: UUID, expected: Sequence[UUID]) -> list[UUID]:
        """The ids on the topic, once the last of these is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                address = self.line.addresses.kafka.bootstrap_servers
                topic = await read_topic(address, IMPORT_EVENTS, "read_committed")
                found = [r.id for r in topic.records if r.key == str(stream).encode()]
                if expected[-1] in found:
                    return found
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", params=["sandbox", "apache"])
async def scene(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    module_database_url: str,
) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("kafka")
    has_transactions = request.param == "apache"
    async with AsyncExitStack() as stack:
        if has_transactions:
            address = (await stack.enter_async_context(own_broker(folder))).address
        else:
            address = await stack.enter_async_context(kafka(log_path=folder / "kafka.log"))
        proxy = await stack.enter_async_context(postgres_proxy(free_port()))
        server, _, name = module_database_url.rpartition("/")
        proxy.target = int(server.rpartition(":")[2])
        url = f"postgresql://postgres@{proxy.address}/{name}"
        line = await stack.enter_async_context(
            the_line(address, url, transactions=has_transactions)
        )
        yield Scene(line, proxy)


@pytest.mark.parametrize("fate", list(Fate), ids=lambda fate: fate.value)
@pytest.mark.parametrize("commit", COMMITS)
async def test_a_lost_commit_repeats_nothing_and_loses_nothing(
    scene: Scene, commit: str, fate: Fate
) -> None:
    request = a_request("demo2026", conference_window())
    stream = request.spreaview_event_id
    lost = scene.proxy.lose(COMMITS[commit], fate)
    await publish_request(scene.line.producer, request)
    async with asyncio.timeout(PATIENCE):
        await lost.has_happened.wait()
    assert (await scene.line.ended(request.request_id))["status"] == "completed"
    log = await scene.log(stream)
    types = [recorded.type for recorded in log]
    assert (types[0], types[-1]) == ("SyncStarted", "SyncCompleted")
    assert types.count("SyncStarted") == types.count("SyncCompleted") == 1
    ids = [recorded.message_id for recorded in log]
    assert await scene.published(stream, ids) == ids
    (progress,) = await scene.line.rows("stream_progress", stream)
    assert progress["version"] == len(log)
    assert len(await scene.line.rows("sessions", stream)) == types.count("SessionImported")


async def test_a_lost_commit_is_repeated_by_a_program_that_forgets_its_runs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seeded fault shows that the answer is really lost after the COMMIT was carried out."""

    async def forget(*_: object) -> None:
        pass

    clock_and_run = EventLog.clock_and_run

    async def never_over(self: EventLog, sync_id: UUID) -> RunRecord:
        return (await clock_and_run(self, sync_id))._replace(begun_in=None, ended_in=None)

    monkeypatch.setattr(append, "_enter_inbox", forget)
    opening = EventLog.opening

    async def always_new(self: EventLog, *arguments: Any) -> Opening:
        found = await opening(self, *arguments)
        return found._replace(run=found.run._replace(begun_in=None, ended_in=None))

    monkeypatch.setattr(EventLog, "clock_and_run", never_over)
    monkeypatch.setattr(EventLog, "opening", always_new)
    monkeypatch.setattr(identity, "message_id", lambda *_: uuid4())
    request = a_request("demo2026", conference_window())
    lost = scene.proxy.lose(rb"INSERT INTO event_store\.events.*SyncCompleted", Fate.DONE)
    await publish_request(scene.line.producer, request)
    async with asyncio.timeout(PATIENCE):
        await lost.has_happened.wait()
        while True:
            types = [recorded.type for recorded in await scene.log(request.spreaview_event_id)]
            if types.count("SyncCompleted") == 2:
                return
            await asyncio.sleep(0.1)
