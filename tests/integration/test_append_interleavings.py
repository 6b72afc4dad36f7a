"""Two appenders in every order of their statements, with every reader, on a real PostgreSQL.

`tests/support/appenders.py` plays the orders and checks each of them: every reader with a cursor
gets every committed event exactly once, positions are in commit order, versions have no gaps, and
the chain is valid. The numbers below count the orders: while one appender waits for a lock, only
the other can continue.
"""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import RoomImported
from eventstore import append
from eventstore.log import EventLog
from eventstore.model import AlreadyRecordedError, Appended, Commit, NewEvent, StreamMovedError
from tests.support.appenders import Scene

pytestmark = pytest.mark.asyncio

ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
NO_LOCK = text("SELECT clock_timestamp() AS now")


def some(number: int) -> list[NewEvent]:
    return [NewEvent(uuid4(), ROOM) for _ in range(number)]


@pytest.mark.parametrize(("length", "one"), [(0, False), (1, False), (0, True), (1, True)])
async def test_two_appends_to_separate_streams_or_to_one(
    engine: AsyncEngine, log: EventLog, length: int, one: bool
) -> None:
    async def prepare() -> list[Commit]:
        streams = [uuid4()] if one else [uuid4(), uuid4()]
        for stream in streams[: 2 * length]:
            await log.append(Commit(stream, 0, some(length)))
        return [Commit(streams[n % len(streams)], length, some(2)) for n in range(2)]

    expected = [Appended, StreamMovedError] if one else [Appended, Appended]
    number = 0
    async for played in Scene(engine, log).every_order(prepare):
        assert played.kinds == expected, played.order
        number += 1
    assert number == (8 if one else 24)


async def test_an_append_refused_late_leaves_the_stream_to_the_other(
    engine: AsyncEngine, log: EventLog
) -> None:
    async def prepare() -> list[Commit]:
        stream, (event,) = uuid4(), some(1)
        return [Commit(stream, 0, [event, event]), Commit(stream, 0, some(2))]

    number = 0
    async for played in Scene(engine, log).every_order(prepare):
        refused, other = played.results
        assert isinstance(refused, AlreadyRecordedError | StreamMovedError), played.order
        assert isinstance(other, Appended), played.order
        number += 1
    assert number == 17


@pytest.mark.parametrize("one", [False, True], ids=["two streams", "one stream"])
async def test_a_message_is_handled_once(engine: AsyncEngine, log: EventLog, one: bool) -> None:
    async def prepare() -> list[Commit]:
        inbox, stream = uuid4(), uuid4()
        return [Commit(stream if one else uuid4(), 0, some(1), inbox=inbox) for _ in range(2)]

    number = 0
    async for played in Scene(engine, log).every_order(prepare):
        assert played.kinds == [AlreadyRecordedError, Appended], played.order
        number += 1
    assert number == 10


async def test_the_same_orders_catch_a_log_without_its_lock(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> list[Commit]:
        return [Commit(uuid4(), 0, some(1)) for _ in range(2)]

    monkeypatch.setattr(append, "LOCK_LOG", NO_LOCK)
    with pytest.raises(AssertionError, match="an event behind a cursor"):
        async for _ in Scene(engine, log).every_order(prepare):
            pass
