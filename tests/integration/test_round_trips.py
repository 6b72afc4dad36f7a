"""The statements of one sync: each is a round trip to PostgreSQL that the organiser waits for.

BEGIN and COMMIT are not listed: each append, and each commit of a projector, has one of both.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import pytest
from aiokafka import ConsumerRecord
from sqlalchemy import TextClause, event
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import IMPORT_EVENTS
from eventstore.driver import DriverConnection, Rows
from eventstore.log import EventLog
from messaging.raw_record import RawRecord
from projections.prepare import prepare
from projections.projector import Projector
from tests.support.documents import WINDOW, document, talk
from tests.support.fake_log import FakeSessionize
from tests.support.line import a_request
from tests.support.streams import append_run
from worker.sync.handle import Handler, RequestContext

pytestmark = pytest.mark.asyncio

API_ID = "trips001"
START = ["UPDATE event_store.streams", "personal_data", "pg_advisory_xact_lock", "events"]
OUTCOME = ["inbox", "UPDATE event_store.streams", "sources", "pg_advisory_xact_lock", "events"]


@contextmanager
def statements(engine: AsyncEngine) -> Iterator[list[str]]:
    """Yield a list that grows with each statement of the engine, and of the driver below it."""
    seen: list[str] = []
    execute = DriverConnection.execute

    def note(*arguments: Any) -> None:
        seen.append(" ".join(arguments[2].split()))

    async def noted(self: DriverConnection, statement: TextClause, *parameters: Any) -> Rows:
        seen.append(" ".join(statement.text.split()))
        return await execute(self, statement, *parameters)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        with patch.object(DriverConnection, "execute", noted):
            yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


def assert_each_has(seen: Sequence[str], parts: Sequence[str]) -> None:
    for statement, part in zip(seen, parts, strict=True):
        assert part in statement


def a_record(stream: UUID, *headers: tuple[str, bytes]) -> RawRecord:
    return ConsumerRecord(
        IMPORT_EVENTS, 0, 0, 0, 0, str(stream).encode(), b"{}", None, 0, 0, headers
    )


async def test_a_worker_reads_the_log_once_before_a_run_starts(
    engine: AsyncEngine, log: EventLog
) -> None:
    source = FakeSessionize(msgspec.json.encode(document(talk("1"))))
    handler = Handler(log, source, await log.identity(), "test", snapshot_events=1000)
    stream = uuid4()

    async def sync() -> list[str]:
        request = a_request(API_ID, WINDOW, event_id=stream)
        with statements(engine) as seen:
            await handler.handle(request, RequestContext(datetime.now(UTC), time.monotonic(), None))
        return seen

    assert_each_has(
        (await sync())[:2], ["event_store.snapshots", "INSERT INTO event_store.streams"]
    )
    assert_each_has(await sync(), ["event_store.snapshots", "event_store.events", *START, *OUTCOME])


async def test_a_projector_applies_an_outcome_with_few_statements(
    engine: AsyncEngine, log: EventLog
) -> None:
    await prepare(engine)
    projector = Projector(engine, sweep_seconds=600)
    stream = uuid4()
    select_generation = ["pg_advisory_xact_lock_shared", "projections.generations"]
    await append_run(log, stream, 1)
    await projector.catch_up([stream])

    await append_run(log, stream, 2)
    with statements(engine) as seen:
        await projector.catch_up([stream])

    write = ["INSERT INTO rooms", "pg_notify"]
    assert_each_has(seen, [*select_generation, "FOR UPDATE", "event_store.events", *write])


async def test_a_record_of_an_applied_event_costs_no_statement(
    engine: AsyncEngine, log: EventLog
) -> None:
    await prepare(engine)
    projector = Projector(engine, sweep_seconds=600)
    stream = uuid4()
    await append_run(log, stream, 1)
    await projector.catch_up([stream])
    head = await log.head()

    with statements(engine) as seen:
        await projector.take([a_record(stream, ("ce_position", b"%d" % head))])
        assert seen == []

        for signal in (
            a_record(stream, ("ce_position", b"%d" % (head + 1))),
            a_record(stream, ("ce_position", b"no number")),
            a_record(stream),
            a_record(uuid4(), ("ce_position", b"%d" % head)),
        ):
            seen.clear()
            await projector.take([signal])
            assert seen
