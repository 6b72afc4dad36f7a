"""A long rebuild under live load, killed three times.

Run as `python -m tests.acceptance.long_rebuild`. A log of a million events is rebuilt into a new
generation by the command, which is killed three times on its way, while runs are appended and
projected, and a reader looks every 10 milliseconds. Then the old generation is made live again. The
reader must see no error and nothing go back, and the new generation must be equal to the old.
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
from projections.generations import prepare
from projections.projector import Projector
from tests.benchmarks.rebuild import load
from tests.integration.test_rebuild import append_run
from tests.support.processes import COMMAND, ROOT, environment

_KILLS = (0.2, 0.5, 0.8)
"""Of the log, where it is killed."""
_SEEN = text("""
    SELECT p.spreaview_event_id, p.version, r.name FROM spreaview.stream_progress p
    LEFT JOIN spreaview.rooms r USING (spreaview_event_id)
    WHERE p.spreaview_event_id = ANY(CAST(:streams AS uuid[]))
""")


@asynccontextmanager
async def live_load(engine: AsyncEngine, streams: list[UUID]) -> AsyncIterator[None]:
    """Runs are appended and projected while the block runs."""
    log, done = EventLog(engine), asyncio.Event()

    async def write(stream: UUID) -> None:
        number = 1
        while not done.is_set():
            number += 1
            await append_run(log, stream, number)
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
    """Looks every 10 milliseconds while the block runs; gives how often it has looked."""
    seen: dict[UUID, int] = {}
    looks = [0]

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
                looks[0] += 1
                await asyncio.sleep(0.01)

    reading = asyncio.create_task(read())
    try:
        yield looks
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def command(url: str, *arguments: str) -> asyncio.subprocess.Process:
    """A running `projections` command."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        "projections",
        *arguments,
        "--json",
        env=environment(database_url=url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def told(process: asyncio.subprocess.Process) -> dict[str, object]:
    """What a command says last."""
    said, _ = await process.communicate()
    last: dict[str, object] = json.loads(said.splitlines()[-1])
    assert process.returncode == 0, said
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
    """Do it, and print what came of it; whether all was well."""
    async with (
        postgres(folder / "postgres", settings={"fsync": "off"}) as url,
        database(url, pool_size=12) as engine,
    ):
        await migrate(engine)
        await prepare(engine)
        total = await load(engine, events)
        streams = [uuid4() for _ in range(5)]
        for stream in streams:
            await append_run(EventLog(engine), stream, 1)
        began = time.monotonic()
        first = await told(await command(url, "rebuild"))
        print(
            f"{total} events; the first rebuild took {time.monotonic() - began:.0f} s", flush=True
        )
        faults: list[str] = []
        async with live_load(engine, streams), reader(url, streams, faults) as looks:
            for part in _KILLS:
                killed = await command(url, "rebuild")
                await until_at(engine, 3, part * total)
                killed.kill()
                await killed.communicate()
                print(f"killed at {part:.0%}", flush=True)
            done = await told(await command(url, "rebuild"))
            back = await told(await command(url, "rollback"))
        print(f"live: {first['live']}, then {done['live']}, and back: {back['live']}")
        parity = done["parity"]
        assert isinstance(parity, dict)
        print(f"parity: equal {parity['equal']}, {parity['streams']} streams compared")
        print(f"{looks[0]} looks; faults: {faults[:5] or 'none'}")
        return bool(parity["equal"]) and not faults and (done["live"], back["live"]) == (3, 2)


def main() -> int:
    """0 if all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    chosen = parser.parse_args()
    configure_logging("ERROR", "console")
    with tempfile.TemporaryDirectory(prefix="long-rebuild-") as folder:
        return 0 if asyncio.run(long_rebuild(chosen.events, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
