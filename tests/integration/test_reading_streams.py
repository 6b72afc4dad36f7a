"""Reading many streams in one call: whole outcomes, without scanning other events."""

from collections.abc import Mapping
from itertools import count
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, Recorded
from eventstore.read import read_streams
from tests.support.projected import SAMPLES

pytestmark = pytest.mark.asyncio

RUN = [
    SAMPLES["SyncStarted"],
    *[SAMPLES["RoomImported"]] * 8,
    SAMPLES["SpeakerImported"],
    SAMPLES["SyncCompleted"],
]

_SCANNED = text("""
    SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables
    WHERE schemaname = 'event_store' AND relname IN ('events', 'personal_data')
""")


async def streams_of(log: EventLog, number: int, runs: int = 1) -> list[UUID]:
    """New streams with some runs of 11 events each."""
    streams = [uuid4() for _ in range(number)]
    for stream in streams:
        await log.append(Commit(stream, 0, [NewEvent(uuid4(), event) for event in RUN * runs]))
    return streams


async def read_counted(
    connection: AsyncConnection, versions: Mapping[UUID, int], limit: int
) -> tuple[list[Recorded], int]:
    """The events read, and the numbers of event and personal rows scanned for them."""
    before = (await connection.execute(_SCANNED)).scalar_one()
    events = await read_streams(connection, versions, limit=limit)
    return events, (await connection.execute(_SCANNED)).scalar_one() - before


def personal(events: list[Recorded]) -> int:
    """How many of them have personal fields."""
    return sum(recorded.personal is not None for recorded in events)


async def test_many_streams_are_read_as_whole_outcomes(log: EventLog, engine: AsyncEngine) -> None:
    streams = await streams_of(log, 5)
    for limit in (1, 4, 10, 30, 1000):
        versions = dict.fromkeys(streams, 0)
        for _ in count():
            async with engine.connect() as connection:
                events = await read_streams(connection, versions, limit=limit)
            if not events:
                break
            for recorded in events:
                assert recorded.version == versions[recorded.stream_id] + 1
                versions[recorded.stream_id] = recorded.version
            assert set(versions.values()) <= {0, 1, 11}, "never between the events of an outcome"
        assert set(versions.values()) == {11}


async def test_streams_are_read_without_scanning_the_rest_of_the_log(
    log: EventLog, engine: AsyncEngine
) -> None:
    streams = await streams_of(log, 40, runs=25)
    async with engine.connect() as connection:
        versions = dict.fromkeys(streams[:20], 24 * len(RUN))
        events, looked_at = await read_counted(connection, versions, 1000)
    assert len(events) == 20 * len(RUN)
    assert looked_at == len(events) + personal(events)


async def test_streams_left_to_a_later_call_are_not_scanned(
    log: EventLog, engine: AsyncEngine
) -> None:
    streams = await streams_of(log, 40)
    async with engine.connect() as connection:
        events, looked_at = await read_counted(connection, dict.fromkeys(streams, 0), 33)
    assert len(events) == 33
    assert looked_at == len(events) + personal(events)
