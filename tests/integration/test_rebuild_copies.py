"""Rows that a rebuild copies equal the rows of a projector, for random and damaged logs."""

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import (
    CUT_TYPES,
    ImportEvent,
    SpeakerErased,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from projections.rebuild import fill as filling
from tests.support.earlier import made_at
from tests.support.rebuilds import SAMPLES, append_runs, catch_up, dump_all, rebuild_quietly
from tests.support.streams import change_log

pytestmark = pytest.mark.asyncio

_WITHIN = [event for event in samples.EVENTS if type(event).__name__ not in CUT_TYPES]
_IDS = ("room_id", "speaker_id", "session_id")


def _outcomes(random: Random, stream: UUID, runs: int) -> Iterator[list[ImportEvent]]:
    """Yield outcomes whose events of all kinds concern few entities, in any order."""

    ids = [UUID(int=(stream.int + number) % 2**128) for number in range(4)]

    def varied(event: ImportEvent, facts: dict[str, Any]) -> ImportEvent:
        number = random.randrange(len(ids))  # an id has one Sessionize id
        changes: dict[str, Any] = {name: ids[number] for name in _IDS if hasattr(event, name)}
        if hasattr(event, "sessionize_id"):
            changes["sessionize_id"] = str(number)
        if hasattr(event, "was_imported"):
            changes["was_imported"] = random.random() < 0.5
        if hasattr(event, "speaker_ids"):
            changes["speaker_ids"] = tuple(random.sample(ids, random.randint(0, len(ids))))
        if hasattr(event, "bio"):
            changes["bio"] = random.choice([None, "", 'with "quotes" \t and\nlines', "ü🙂\\N"])
        changed: ImportEvent = replace(event, **facts, **changes)
        return changed

    for _ in range(runs):
        facts = {"sync_id": uuid4(), "spreaview_event_id": stream}
        if random.random() < 0.9:
            yield [replace(SAMPLES[SyncStarted], **facts)]
        if random.random() < 0.2:
            yield [replace(SAMPLES[SpeakerErased], **facts, speaker_id=random.choice(ids))]
        if random.random() < 0.9:
            events = [varied(random.choice(_WITHIN), facts) for _ in range(random.randint(0, 25))]
            yield [*events, replace(SAMPLES[random.choice([SyncCompleted, SyncFailed])], **facts)]


async def _append(
    engine: AsyncEngine, log: EventLog, random: Random, streams: int, runs: int
) -> list[UUID]:
    """Append the outcomes of some streams in turn, and project each of them at once."""
    ids = [uuid4() for _ in range(streams)]
    waiting = {stream: list(_outcomes(random, stream, runs)) for stream in ids}
    versions = dict.fromkeys(ids, 0)
    while waiting:
        stream = random.choice(list(waiting))
        if not waiting[stream]:
            del waiting[stream]
            continue
        outcome = waiting[stream].pop(0)
        events = [NewEvent(uuid4(), event) for event in outcome]
        await log.append(Commit(stream, versions[stream], events))
        versions[stream] += len(events)
        await catch_up(engine, [stream])
    return ids


@pytest.mark.parametrize("seed", range(3))
async def test_copied_rows_equal_the_rows_of_a_projector_on_random_streams(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    await _append(engine, log, Random(seed), streams=4, runs=5)
    expected = await dump_all(engine)
    for page in (10, 60):
        monkeypatch.setattr(filling, "FILL_PAGE", page)
        await rebuild_quietly(engine)
        assert await dump_all(engine) == expected

    async def refuse(*_: object) -> bool:
        raise AssertionError("not every row was copied")

    monkeypatch.setattr(filling, "FILL_PAGE", 10_000)
    monkeypatch.setattr(filling, "_apply", refuse)
    done = await rebuild_quietly(engine)

    assert done.parity is not None
    assert (done.parity.equal, done.parity.streams) == (True, 4)
    assert await dump_all(engine) == expected


async def test_copied_rows_equal_the_rows_of_a_projector_on_events_of_an_earlier_version(
    engine: AsyncEngine, log: EventLog
) -> None:
    for events in (made_at("cbab06d").events, samples.EVENTS):
        stream = uuid4()
        facts = {"spreaview_event_id": stream, "sync_id": uuid4()}
        ours = [replace(event, **facts) for event in events]
        await log.append(Commit(stream, 0, [NewEvent(uuid4(), event) for event in ours]))
        await catch_up(engine, [stream])
    expected = await dump_all(engine)

    await rebuild_quietly(engine)

    assert await dump_all(engine) == expected


@pytest.mark.parametrize(
    "damage",
    [
        """data || '{"sort": true}'""",
        """data || '{"sort": 1.5}'""",
        """data || '{"name": 5}'""",
        """data || '{"room_id": "x"}'""",
    ],
)
async def test_a_damaged_event_stops_its_stream_where_it_would_stop_without_copying(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    streams = await append_runs(log, streams=3, runs=2)
    await change_log(
        engine,
        f"UPDATE event_store.events SET data = {damage} "
        "WHERE stream_id = :stream AND type = 'RoomImported' AND version > 9",
        stream=streams[0],
    )

    async def never(*_: object) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr(filling, "_copy", never)
        await rebuild_quietly(engine, accept_stopped=True)
    expected = await dump_all(engine)

    await rebuild_quietly(engine, accept_stopped=True)

    assert await dump_all(engine) == expected


async def test_a_swapped_value_is_a_difference(engine: AsyncEngine, log: EventLog) -> None:
    """Hashes of two rows that swap a value must not have the same sum."""
    (stream,) = await append_runs(log, streams=1, runs=1)
    await catch_up(engine, [stream])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE spreaview_g1.sessions SET sessionize_id = "
            "CASE sessionize_id WHEN '0' THEN '1' ELSE '0' END WHERE sessionize_id IN ('0', '1')"
        )

    done = await rebuild_quietly(engine)

    assert done.parity is not None
    (sessions,) = [table for table in done.parity.tables if table.table == "sessions"]
    assert sessions.changed == 2
