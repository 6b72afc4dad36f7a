"""Every run ends, also one whose request is gone; a run whose request is still there stays open."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.conference import conference_window
from contracts import identity
from contracts.events import SyncCompleted, SyncFailed, SyncStarted
from contracts.failures import FailureCode
from eventstore import open_runs
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.open_runs import OpenRun
from messaging.backlog import PartitionBacklog
from tests.support.failure_table import documented
from tests.support.line import ORGANIZATION, a_request, the_line
from tests.support.streams import COMPLETED, STARTED
from worker.relay.open_runs import OpenRuns

pytestmark = pytest.mark.asyncio

WAITING = {0: PartitionBacklog(None, 7), 1: PartitionBacklog(4, 5)}
"""A request at offset 4 of partition 1 is not committed."""


@dataclass
class Scene:
    """A log with one open run, and what Kafka shows of the requests."""

    engine: AsyncEngine
    backlog: Mapping[int, PartitionBacklog] = field(default_factory=lambda: WAITING)
    asked: int = 0
    sync_id: UUID = field(default_factory=uuid4)
    stream: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        self.log = EventLog(self.engine)
        self.open_runs = OpenRuns(self.engine, self._read_backlog)

    async def _read_backlog(self) -> Mapping[int, PartitionBacklog]:
        self.asked += 1
        return self.backlog

    async def start(self, sync_id: UUID | None = None) -> None:
        await append_start(self.log, self.stream, sync_id or self.sync_id)

    async def complete(self, *, inbox: bool = True) -> None:
        facts = {"sync_id": self.sync_id, "spreaview_event_id": self.stream}
        event = replace(COMPLETED, **facts)
        new = NewEvent(identity.message_id(self.sync_id, identity.OUTCOME), event)
        version = await self.log.stream_version(self.stream)
        entered = self.sync_id if inbox else None
        await self.log.append(Commit(self.stream, version, [new], inbox=entered))

    async def last(self) -> object:
        return [r.event async for r in self.log.read_stream(self.stream)][-1]


async def append_start(log: EventLog, stream: UUID, sync_id: UUID, **fields: object) -> None:
    event = replace(STARTED, sync_id=sync_id, spreaview_event_id=stream, **fields)
    version = await log.stream_version(stream)
    await log.append(Commit(stream, version, [NewEvent(identity.message_id(sync_id, 0), event)]))


@pytest.fixture
def scene(engine: AsyncEngine) -> Scene:
    return Scene(engine)


async def test_a_run_stays_open_while_its_request_may_still_come(scene: Scene) -> None:
    """However often the leader looks: neither age nor an outage of the workers ends a run."""
    await scene.start()
    for _ in range(20):
        assert await scene.open_runs.look() == 0
    assert isinstance(await scene.last(), SyncStarted)
    assert scene.asked == 20


@pytest.mark.parametrize(
    "later",
    [
        {0: PartitionBacklog(None, 7), 1: PartitionBacklog(None, 5)},
        {0: PartitionBacklog(7, 9), 1: PartitionBacklog(5, 99)},
        {0: PartitionBacklog(None, 0)},
        {},
    ],
    ids=["all is committed", "only later requests wait", "recreated topic", "missing topic"],
)
async def test_a_run_whose_request_is_gone_ends_as_an_internal_error(
    scene: Scene, later: Mapping[int, PartitionBacklog], caplog: pytest.LogCaptureFixture
) -> None:
    await scene.start()
    assert [await scene.open_runs.look() for _ in range(2)] == [0, 0]
    scene.backlog = later
    assert await scene.open_runs.look() == 1
    failed = await scene.last()
    assert isinstance(failed, SyncFailed)
    assert (failed.sync_id, failed.code) == (scene.sync_id, FailureCode.INTERNAL_ERROR)
    assert failed.retryable
    assert failed.remedy.startswith("Sync again.")
    assert "its request is no longer on Kafka" in failed.message
    documented("an open run ended as internal_error", caplog.messages[-1])
    assert failed.ordered_at == STARTED.ordered_at
    assert [await scene.open_runs.look() for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("damage", "reports"),
    [("schema_version = 1000", 1), ("data = 'null'", 0), ("data = data || '{\"sync_id\": 5}'", 0)],
)
async def test_a_run_that_cannot_be_read_keeps_no_other_run_open(
    scene: Scene, caplog: pytest.LogCaptureFixture, damage: str, reports: int
) -> None:
    """Such as one of a newer worker, while the version is replaced."""
    await scene.start()
    async with scene.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE event_store.events DISABLE TRIGGER USER")
        await connection.exec_driver_sql(f"UPDATE event_store.events SET {damage}")
        await connection.exec_driver_sql("ALTER TABLE event_store.events ENABLE TRIGGER USER")
    others = [uuid4(), uuid4()]
    for other in others:
        await scene.start(other)
    scene.backlog = {}

    assert sum([await scene.open_runs.look() for _ in range(6)]) == len(others)

    found = [r.getMessage() for r in caplog.records if r.name == "worker.relay.open_runs"]
    assert len(found) == reports
    assert all(f"sync {scene.sync_id} stays open: " in line for line in found)
    assert all(str(scene.stream) in line and "cannot be read" in line for line in found)


async def test_a_run_that_started_after_the_note_waits_for_the_next_one(scene: Scene) -> None:
    await scene.start()
    await scene.open_runs.look()
    later = uuid4()
    await scene.start(later)
    scene.backlog = {}
    assert await scene.open_runs.look() == 1
    failed = await scene.last()
    assert isinstance(failed, SyncFailed)
    assert failed.sync_id == scene.sync_id
    assert [await scene.open_runs.look() for _ in range(2)] == [0, 1]


async def test_an_outcome_that_comes_while_kafka_is_asked_is_the_only_one(scene: Scene) -> None:
    await scene.start()
    await scene.open_runs.look()
    reading = scene.open_runs._backlog

    async def complete_meanwhile() -> Mapping[int, PartitionBacklog]:
        await reading()
        await scene.complete()
        return {}

    scene.open_runs._backlog = complete_meanwhile
    assert await scene.open_runs.look() == 0
    assert isinstance(await scene.last(), SyncCompleted)


async def test_a_run_with_an_outcome_is_over_without_its_inbox_entry(scene: Scene) -> None:
    await scene.start()
    await scene.complete(inbox=False)
    scene.backlog = {}
    assert [await scene.open_runs.look() for _ in range(3)] == [0, 0, 0]
    assert scene.asked == 0, "nothing is open"


async def test_a_run_that_only_the_inbox_lists_as_handled_ends(scene: Scene) -> None:
    """As after a damage: the inbox has its request, and the log has no outcome of it."""
    await scene.start()
    async with scene.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO event_store.inbox (message_id, stream_id) VALUES (:id, :stream)"),
            {"id": scene.sync_id, "stream": scene.stream},
        )
    await scene.open_runs.look()
    scene.backlog = {}
    assert await scene.open_runs.look() == 1
    failed = await scene.last()
    assert isinstance(failed, SyncFailed)
    assert (failed.sync_id, failed.code) == (scene.sync_id, FailureCode.INTERNAL_ERROR)
    assert "the inbox lists this request as handled" in failed.message
    assert [await scene.open_runs.look() for _ in range(2)] == [0, 0]


async def test_short_runs_do_not_make_the_leader_ask_kafka(scene: Scene) -> None:
    assert await scene.open_runs.look() == 0
    await scene.start()
    assert await scene.open_runs.look() == 0
    await scene.complete()
    assert await scene.open_runs.look() == 0
    assert scene.asked == 0


async def test_the_runs_of_the_log_are_read_page_by_page(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_runs, "_PAGE", 2)
    pages: list[int] = []
    of_page = open_runs.still_open

    async def noted(engine: AsyncEngine, runs: Collection[OpenRun]) -> set[OpenRun]:
        pages.append(len(runs))
        return await of_page(engine, runs)

    monkeypatch.setattr(open_runs, "still_open", noted)
    await scene.start()
    await scene.complete()
    others = [uuid4() for _ in range(4)]
    for other in others:
        await scene.start(other)
    head = await scene.log.head()
    await scene.start(uuid4())

    found = await open_runs.started_runs(scene.engine, after=0, upto=head)

    assert found == {OpenRun(scene.stream, other) for other in others}
    assert pages == [2, 2, 1]


async def test_the_search_for_open_runs_uses_its_index(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'events_started'")
        )
        assert "WHERE (type = 'SyncStarted'::text)" in found.scalar_one()


async def test_a_new_process_ends_the_runs_that_it_finds_open(
    own_kafka: str, database_url: str
) -> None:
    """As `up` after a stop during a fetch: its broker has forgotten the request."""
    stream, sync_id = uuid4(), uuid4()
    async with database(database_url, pool_size=2) as engine:
        await append_start(EventLog(engine), stream, sync_id, organization_id=ORGANIZATION)
    async with the_line(own_kafka, database_url) as line:
        run = await line.ended(sync_id)
        assert (run["status"], run["failure_code"]) == ("failed", "internal_error")
        assert await line.types(stream) == ["SyncStarted", "SyncFailed"]

        only_in_inbox = a_request("nobody01", conference_window())
        async with line.engine.begin() as connection:
            await connection.execute(
                text("INSERT INTO event_store.inbox (message_id, stream_id) VALUES (:id, :event)"),
                {"id": only_in_inbox.request_id, "event": only_in_inbox.spreaview_event_id},
            )
        run = await line.sync(only_in_inbox)
        assert (run["status"], run["failure_code"]) == ("failed", "internal_error")
        assert "the inbox lists this request as handled" in str(run["failure_message"])
