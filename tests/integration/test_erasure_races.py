"""Erasures during concurrent work: data read before an erasure never come back after it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka.errors import KafkaTimeoutError
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from contracts import samples
from contracts.events import SpeakerImported, SyncCompleted, SyncStarted
from eventstore.leadership import PUBLISHING
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.read import read_outcomes
from messaging.cloudevents import Record
from messaging.publisher import CommittedPosition, OpenPublisher
from projections import projector
from projections.generations import create, list_generations
from projections.projector import apply_next
from projections.rebuild import fill as filling
from projections.rebuild.fill import fill
from projections.version import CODE_VERSION
from projections.write import write
from tests.support.line import the_line

pytestmark = pytest.mark.asyncio

SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}
ORGANIZATION = SAMPLES[SpeakerImported].organization_id
PATIENCE = 20.0


async def append_run(log: EventLog) -> tuple[UUID, UUID]:
    """Append one run that imports a speaker. Returns the ids of the stream and the speaker."""
    stream, speaker = uuid4(), uuid4()
    facts: dict[str, Any] = {"sync_id": uuid4(), "spreaview_event_id": stream}
    person = replace(SAMPLES[SpeakerImported], **facts, speaker_id=speaker)
    run = [replace(SAMPLES[SyncStarted], **facts), person, replace(SAMPLES[SyncCompleted], **facts)]
    await log.append(Commit(stream, 0, [NewEvent(uuid4(), event) for event in run]))
    return stream, speaker


async def named_in(engine: AsyncEngine, schema: str, speaker: UUID) -> int:
    """The number of rows of a generation in which the speaker has a name."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                f"SELECT count(*) FROM {schema}.event_speakers "
                "WHERE full_name IS NOT NULL AND speaker_id = :speaker"
            ),
            {"speaker": speaker},
        )
        count: int = found.scalar_one()
        return count


class Pause:
    """Holds the first call of a function until it is released."""

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self._function = function
        self.reached, self._go_on = asyncio.Event(), asyncio.Event()
        self._error: Exception | None = None

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.reached.set()
        await self._go_on.wait()
        if self._error is not None:
            raise self._error
        return await self._function(*args, **kwargs)

    def release(self) -> None:
        self._go_on.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self.release()


GENERATIONS = 0x5350_5245_4156_0010


async def is_done_or_waits(engine: AsyncEngine, task: asyncio.Task[Any], lock: int) -> None:
    """Return when the task is done, or when a session waits for the exclusive advisory lock."""
    waiting = text("""
        SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (classid::bigint << 32) | objid::bigint = :lock
    """)
    async with asyncio.timeout(PATIENCE), engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        while not task.done():
            if (await connection.execute(waiting, {"lock": lock})).scalar_one():
                return
            await asyncio.sleep(0.01)


async def test_a_projector_writes_no_row_that_it_read_before_the_erasure(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The projector has not reached `SpeakerErased` yet."""
    stream, speaker = await append_run(log)
    pause = Pause(write)
    monkeypatch.setattr(projector, "write", pause)

    async def project_once() -> None:
        async with engine.begin() as connection:
            assert (await apply_next(connection, [stream])).positions

    projecting = asyncio.create_task(project_once())
    await asyncio.wait_for(pause.reached.wait(), PATIENCE)
    erasing = asyncio.create_task(erase(engine, ORGANIZATION, speaker))
    await is_done_or_waits(engine, erasing, GENERATIONS)
    pause.release()
    await asyncio.wait_for(asyncio.gather(erasing, projecting), PATIENCE)

    assert await named_in(engine, "spreaview_g1", speaker) == 0


async def test_the_relay_publishes_a_read_event_before_the_erasure_or_never(
    own_kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Sequence[Record]] = []
    send = OpenPublisher.send

    async def noted(
        self: OpenPublisher, records: Sequence[Record], committed: CommittedPosition
    ) -> None:
        await send(self, records, committed)
        sent.append(records)

    pause = Pause(noted)
    monkeypatch.setattr(OpenPublisher, "send", lambda *args: pause(*args))
    async with the_line(own_kafka, database_url) as line:
        _, speaker = await append_run(line.log)
        await asyncio.wait_for(pause.reached.wait(), PATIENCE)
        erasing = asyncio.create_task(erase(line.engine, ORGANIZATION, speaker))
        await is_done_or_waits(line.engine, erasing, PUBLISHING)
        assert not erasing.done(), "what was read is still to be published"
        assert not sent
        pause.release()
        await asyncio.wait_for(erasing, PATIENCE)
        assert sent


async def test_an_erasure_does_not_wait_for_a_failing_relay(
    own_kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay drops the events with the leadership: the next leader reads them again."""
    pause = Pause(OpenPublisher.send)
    monkeypatch.setattr(OpenPublisher, "send", lambda *args: pause(*args))
    async with the_line(own_kafka, database_url) as line:
        _, speaker = await append_run(line.log)
        await asyncio.wait_for(pause.reached.wait(), PATIENCE)
        erasing = asyncio.create_task(erase(line.engine, ORGANIZATION, speaker))
        await is_done_or_waits(line.engine, erasing, PUBLISHING)
        pause.fail(KafkaTimeoutError())
        await asyncio.wait_for(erasing, PATIENCE)


@pytest.mark.parametrize("pages", [1, 2])
async def test_a_rebuild_writes_no_row_that_it_read_before_the_erasure(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """This holds for the page to be written next and for the page read in the meantime."""
    monkeypatch.setattr(filling, "FILL_PAGE", 3)  # one run
    for _ in range(pages):
        _, speaker = await append_run(log)
    head = await log.head()
    async with engine.begin() as connection:
        generation = await create(connection, number=2, live=False, code_version=CODE_VERSION)
    read, all_read, reads = read_outcomes, asyncio.Event(), count(1)

    async def counted(*args: Any, **kwargs: Any) -> Any:
        page = await read(*args, **kwargs)
        if next(reads) == pages:
            all_read.set()
        return page

    pause = Pause(filling.apply_page)
    monkeypatch.setattr(filling, "apply_page", pause)
    monkeypatch.setattr(filling, "read_outcomes", counted)
    rebuilding = asyncio.create_task(fill(engine, generation, head, lambda _: None))
    await asyncio.wait_for(asyncio.gather(pause.reached.wait(), all_read.wait()), PATIENCE)

    erasing = asyncio.create_task(erase(engine, ORGANIZATION, speaker))
    await is_done_or_waits(engine, erasing, GENERATIONS)
    pause.release()
    await asyncio.wait_for(asyncio.gather(erasing, rebuilding), PATIENCE)

    async with engine.connect() as connection:
        (filled,) = [g for g in await list_generations(connection) if g.number == 2]
    assert filled.position == head, "it has not come to SpeakerErased"
    assert await named_in(engine, "spreaview_g2", speaker) == 0
