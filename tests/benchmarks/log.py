"""The log: appends and reads per second, beside plain inserts under the same lock.

    python -m tests.benchmarks.log [EVENTS]

One process against a PostgreSQL of its own (fsync off, so that the program is measured and not
the disk). Plain is the same rows by the same `unnest` statement, without inbox, versions, chain or
codec: what an event store cannot do without. Quote the ratios, which are of one run.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.postgres import postgres
from contracts.canonical import canonical
from contracts.codec import take_apart
from contracts.events import RoomImported
from eventstore.append import INSERT_EVENTS, LOCK_LOG
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.model import Commit, NewEvent


def event(stream_id: UUID) -> NewEvent:
    """An event of about 550 bytes."""
    room = RoomImported(
        room_id=stream_id,
        sessionize_id="4711",
        name="Hall " * 36,
        sort=1,
        sync_id=stream_id,
        organization_id=stream_id,
        spreaview_event_id=stream_id,
        change="added",
        changed_fields=(),
    )
    return NewEvent(uuid4(), room)


async def append(log: EventLog, appends: int, size: int) -> None:
    stream_id = uuid4()
    for number in range(appends):
        events = [event(stream_id) for _ in range(size)]
        await log.append(Commit(stream_id, number * size, events, inbox=uuid4()))


async def plain(engine: AsyncEngine, appends: int, size: int) -> None:
    stream_id = uuid4()
    for number in range(appends):
        events = [event(stream_id) for _ in range(size)]
        rows = [(canonical(take_apart(e).data).decode(), message_id) for message_id, e in events]
        async with engine.begin() as connection:
            now = (await connection.execute(LOCK_LOG)).scalar_one()
            await connection.execute(
                INSERT_EVENTS,
                {
                    "stream_id": stream_id,
                    "metadata": "{}",
                    "recorded_at": now,
                    "versions": [number * size + i for i in range(1, size + 1)],
                    "message_ids": [message_id for _, message_id in rows],
                    "types": ["RoomImported"] * size,
                    "schema_versions": [1] * size,
                    "data": [data for data, _ in rows],
                    "hashes": [bytes(32)] * size,
                    "subjects": [],
                    "organization_id": None,
                    "known_subjects": [],
                },
            )


async def rate(
    what: str, events: int, at_once: int, work: Callable[[], Awaitable[object]]
) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    per_second = events / (time.perf_counter() - began)
    print(f"{what:<34} {per_second:10,.0f} events/s", flush=True)
    return per_second


async def measure(engine: AsyncEngine, events: int) -> None:
    log = EventLog(engine)
    for writers, size in ((1, 100), (1, 1000), (8, 100), (8, 1000)):
        appends = max(1, events // writers // size)
        total = appends * writers * size
        shape = f"{writers} writers x {size}"
        base = await rate(f"plain   {shape}", total, writers, partial(plain, engine, appends, size))
        ours = await rate(f"append  {shape}", total, writers, partial(append, log, appends, size))
        print(f"{'':<34} {ours / base:10.2f} of plain")
    head = await log.head()

    async def read() -> None:
        after = 0
        while page := await log.read_all(after):
            after = page[-1].position

    async def read_typed() -> None:
        after = 0
        while page := await log.read_all(after):
            after = page[-1].position
            for recorded in page:
                _ = recorded.event

    await rate("read", head, 1, read)
    await rate("read, typed", head, 1, read_typed)


async def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    with tempfile.TemporaryDirectory() as folder:
        settings = {"fsync": "off", "synchronous_commit": "off"}
        async with (
            postgres(Path(folder) / "data", settings=settings) as url,
            database(url, pool_size=10) as engine,
        ):
            await migrate(engine)
            await measure(engine, events)


if __name__ == "__main__":
    asyncio.run(main())
