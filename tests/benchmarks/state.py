"""What it takes to know where a SpreaView event stands: from its snapshot, and from its beginning.

    python -m tests.benchmarks.state

300 sessions, imported again and again: the history grows, the schedule does not. PostgreSQL's time
is in it. Quote the ratios, which are of one run.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.sandbox.postgres import postgres
from contracts import samples
from contracts.events import SessionImported
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.model import Commit, NewEvent
from worker.rules.state import fold
from worker.sync.state_snapshots import load_state, snapshot_of

SESSIONS, TIMES, ROUNDS = 300, (1, 10, 100), 5

SAMPLE = next(event for event in samples.EVENTS if isinstance(event, SessionImported))


async def imported(log: EventLog, times: int) -> UUID:
    """A stream in which every session was imported so many times; it has a snapshot."""
    stream_id = uuid4()
    events = [replace(SAMPLE, sessionize_id=str(number)) for number in range(SESSIONS)]
    for time_before in range(times):
        version = time_before * SESSIONS
        new = [NewEvent(uuid4(), event) for event in events]
        await log.append(Commit(stream_id, version, new))
    state = await load_state(log, stream_id)
    new = [NewEvent(uuid4(), event) for event in events]
    await log.append(
        Commit(stream_id, state.version, new, snapshot=snapshot_of(fold(events, state)))
    )
    return stream_id


async def milliseconds(log: EventLog, stream_id: UUID) -> float:
    """The quickest of some rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await load_state(log, stream_id)
        found.append(time.perf_counter() - began)
    return min(found) * 1000


async def measure(engine: AsyncEngine) -> None:
    log = EventLog(engine)
    streams = {times: await imported(log, times) for times in TIMES}
    with_snapshot = {times: await milliseconds(log, stream) for times, stream in streams.items()}
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.snapshots"))
    for times, stream_id in streams.items():
        without = await milliseconds(log, stream_id)
        events = (times + 1) * SESSIONS
        print(
            f"{events:7,} events: {without:8.1f} ms from the beginning, "
            f"{with_snapshot[times]:6.1f} ms from the snapshot: "
            f"{with_snapshot[times] / without:.2f} of it",
            flush=True,
        )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            postgres(Path(folder) / "data", settings={"fsync": "off"}) as url,
            database(url, pool_size=2) as engine,
        ):
            await migrate(engine)
            await measure(engine)


if __name__ == "__main__":
    asyncio.run(main())
