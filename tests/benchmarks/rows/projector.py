"""Row 7: events that the projector applies per second, from a backlog, and outcome by outcome.

The floor reads the same events and writes the same rows by COPY and one upsert per table, see
`tests/benchmarks/plain_projection.py`, in transactions of the same size.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID

import asyncpg
from sqlalchemy import text

from eventstore.read import PAGE
from projections.projector import Projector
from tests.benchmarks import plain_projection
from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.servers import Database, Servers
from tests.support.long_log import load

_EVENTS = {"quick": 10_000, "full": 20_000, "long": 100_000}
_LIVE = {"quick": 20, "full": 50, "long": 50}
_SCHEMA = "spreaview_g1"
_TABLES = ("sync_runs", "rooms", "event_speakers", "sessions", "session_speakers",
           "skipped_sessions", "stream_progress")  # fmt: skip
_STREAMS = text("SELECT stream_id FROM event_store.streams ORDER BY stream_id")
_READ = """
    SELECT e.stream_id, e.version, e.position, e.type, e.data::text, p.body::text, e.recorded_at
    FROM event_store.events e LEFT JOIN event_store.personal_data p USING (message_id)
    WHERE e.stream_id = ANY($1::uuid[]) ORDER BY e.stream_id, e.version OFFSET $2 LIMIT $3
"""


async def _empty(database: Database) -> None:
    async with database.engine.begin() as connection:
        names = ", ".join(f"{_SCHEMA}.{table}" for table in _TABLES)
        await connection.execute(text(f"TRUNCATE {names}"))


async def _ours(database: Database, groups: Sequence[Sequence[UUID]], events: int) -> float:
    await _empty(database)
    projector = Projector(database.engine, sweep_seconds=60)
    with Stopwatch() as watch:
        for streams in groups:
            await projector.catch_up(streams)
    return events / watch.seconds


async def _plain(database: Database, groups: Sequence[Sequence[UUID]], events: int) -> float:
    await _empty(database)
    connection = await asyncpg.connect(database.url)
    try:
        await plain_projection.prepare(connection, _SCHEMA)
        with Stopwatch() as watch:
            for streams in groups:
                after = 0
                while rows := await connection.fetch(_READ, streams, after, PAGE):
                    await plain_projection.apply(connection, rows)
                    after += len(rows)
    finally:
        await connection.close()
    return events / watch.seconds


async def measure(servers: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of a backlog, and of one SpreaView event after the other."""
    async with servers.database() as database:
        total = await load(database.engine, _EVENTS[size])
        async with database.engine.connect() as connection:
            streams = list((await connection.execute(_STREAMS)).scalars())
        each = total // len(streams)
        live = streams[: _LIVE[size]]
        ways = (
            (
                "backlog",
                [streams[n : n + PAGE // each] for n in range(0, len(streams), PAGE // each)],
                total,
            ),
            ("live, one SpreaView event at a time", [[one] for one in live], each * len(live)),
        )
        for what, groups, events in ways:
            yield await compare(
                "7",
                f"projector, {what}",
                ours=partial(_ours, database, groups, events),
                floor=partial(_plain, database, groups, events),
                partner="COPY and upsert by hand",
                target=0.5,
                rounds=3 if size == "quick" else 5,
            )
