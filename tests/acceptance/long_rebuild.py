"""A long rebuild under live load, killed three times.

Run as `python -m tests.acceptance.long_rebuild`. The command rebuilds a log of a million events and
is killed three times. Meanwhile runs are appended and projected, and a reader polls the views every
10 milliseconds. A rollback then makes the old generation live again. The reader must see no error
and no older version, and both generations must have equal rows.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.postgres import postgres
from eventstore.log import EventLog
from eventstore.migrate import migrate
from projections import generations
from projections.prepare import prepare
from projections.projector import Projector
from tests.support.long_log import load
from tests.support.processes import COMMAND, ROOT, environment
from tests.support.rebuilds import append_sessions

_KILLS = (0.2, 0.5, 0.8)
"""Fractions of the log at which the rebuild is killed."""
_SEEN = text("""
    SELECT p.spreaview_event_id, p.version, r.name FROM spreaview.stream_progress p
    LEFT JOIN spreaview.rooms r USING (spreaview_event_id)
    WHERE p.spreaview_event_id = ANY(CAST(:streams AS uuid[]))
""")


@asynccontextmanager
async def live_load(engine: AsyncEngine, streams: list[UUID]) -> AsyncIterator[None]:
    """Append and project runs while the block runs."""
    log, done = EventLog(engine), asyncio.Event()

    async def write(stream: UUID) -> None:
        number = 1
        while not done.is_set():
            number += 1
            await append_sessions(log, stream, number)
            await asyncio.sleep(0.05)

    sweeping = asyncio.create_task(Projector(engine, sweep_seconds=0.05).sweep())
    writing = [asyncio.create_task(write(stream)) for stream in streams]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*writing)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


@asynccontextmanager
async def reader(url: str, streams: list[UUID], faults: list[str]) -> AsyncIterator[list[int]]:
    """Poll the views every 10 milliseconds while the block runs; yield the number of polls."""
    seen: dict[UUID, int] = {}
    polls = [0]

    async def read() -> None:
        async with database(url, pool_size=2) as engine:
            while True:
                try:
                    async with engine.connect() as connection:
                        for row in await connection.execute(_SEEN, {"streams": streams}):
                            if row.version < seen.get(row.spreaview_event_id, 0) or not row.name:
                                faults.append(f"{row} after {seen[row.spreaview_event_id]}")
                            seen[row.spreaview_event_id] = row.version
                except Exception as error:
                    faults.append(repr(error))
                polls[0] += 1
                await asyncio.sleep(0.01)

    reading = asyncio.create_task(read())
    try:
        yield polls
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def command(url: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a `projections` command."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        "projections",
        *arguments,
        "--json",
        env=environment(database_url=url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def result_of(process: asyncio.subprocess.Process) -> dict[str, object]:
    """Return the last JSON line of a command."""
    output, _ = await process.communicate()
    last: dict[str, object] = json.loads(output.splitlines()[-1])
    assert process.returncode == 0, output
    return last


async def until_at(engine: AsyncEngine, number: int, position: float) -> None:
    """Wait until a generation is filled up to a position."""
    while True:
        async with engine.connect() as connection:
            found = {g.number: g for g in await generations.list_generations(connection)}
        if number in found and found[number].position >= position:
            return
        await asyncio.sleep(0.05)


async def long_rebuild(events: int, folder: Path) -> bool:
    """Run the test and print its results; return whether it passed."""
    async with (
        postgres(folder / "postgres", settings={"fsync": "off"}) as url,
        database(url, pool_size=12) as engine,
    ):
        await migrate(engine)
        await prepare(engine)
        total = await load(engine, events)
        streams = [uuid4() for _ in range(5)]
        for stream in streams:
            await append_sessions(EventLog(engine), stream, 1)
        began = time.monotonic()
        first = await result_of(await command(url, "rebuild"))
        print(
            f"{total} events; the first rebuild took {time.monotonic() - began:.0f} s", flush=True
        )
        faults: list[str] = []
        async with live_load(engine, streams), reader(url, streams, faults) as polls:
            for part in _KILLS:
                killed = await command(url, "rebuild")
                await until_at(engine, 3, part * total)
                killed.kill()
                await killed.communicate()
                print(f"killed at {part:.0%}", flush=True)
            done = await result_of(await command(url, "rebuild"))
            back = await result_of(await command(url, "rollback"))
        print(f"live: {first['live']}, then {done['live']}, and back: {back['live']}")
        parity = done["parity"]
        assert isinstance(parity, dict)
        print(f"parity: equal {parity['equal']}, {parity['streams']} streams compared")
        print(f"{polls[0]} polls; faults: {faults[:5] or 'none'}")
        return bool(parity["equal"]) and not faults and (done["live"], back["live"]) == (3, 2)


def main() -> int:
    """Return 0 if the test passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    chosen = parser.parse_args()
    configure_logging("ERROR", "console")
    with tempfile.TemporaryDirectory(prefix="long-rebuild-") as folder:
        return 0 if asyncio.run(long_rebuild(chosen.events, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
