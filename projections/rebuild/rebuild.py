"""Rebuild: a new generation from the log while the old one serves; and back to the one before."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.log import EventLog
from projections.generations import (
    NEXT_NUMBER,
    SET_FILLED,
    SET_POSITION,
    Generation,
    GenerationsError,
    create,
    drop,
    enter,
    generations,
    hold,
    live_generation,
    upkeep_lock,
)
from projections.rebuild.fill import FillProgress, Report, fill
from projections.rebuild.parity import Parity, compare
from projections.rebuild.switch import StoppedInNew, switch
from projections.status import AHEAD_STREAMS
from projections.tables import TABLE_COLUMNS, TABLE_SIZES, run_script
from projections.version import CODE_VERSION

FIRST_DIFFERENCES = 5
"""Told of each table."""

# What lies before it is applied, but for streams that have stopped.
APPLIED_UP_TO = text("""
    SELECT coalesce(
        (SELECT min(e.position) - 1
         FROM event_store.streams s
         LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
         JOIN event_store.events e
           ON e.stream_id = s.stream_id AND e.version = coalesce(p.version, 0) + 1
         WHERE p.error IS NULL AND coalesce(p.version, 0) < s.version),
        (SELECT max(position) FROM event_store.events), 0)
""")

Say = Callable[[str], None]


@dataclass(frozen=True)
class RebuildResult:
    """What a rebuild or a rollback came to."""

    live: Generation
    before: Generation
    """What was live before."""
    events: int
    """Read by this process."""
    seconds: float
    parity: Parity | None
    """Of a rebuild: the generations before the switch."""
    stopped: Sequence[StoppedInNew]
    dropped: Sequence[int]

    def to_json(self) -> dict[str, object]:
        """The last line of `projections rebuild --json` and `projections rollback --json`."""
        return {
            "done": "switched",
            "live": self.live.number,
            "before": self.before.number,
            "events": self.events,
            "seconds": round(self.seconds, 3),
            "parity": self.parity.to_json() if self.parity else None,
            "stopped": [stream.to_json() for stream in self.stopped],
            "dropped": list(self.dropped),
        }


class GenerationSummary(NamedTuple):
    """A generation with what it takes."""

    generation: Generation
    rows: int
    size: int
    """Bytes, with the indexes."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections generations --json`."""
        return {**self.generation.to_json(), "rows": self.rows, "size_bytes": self.size}


async def rebuild(
    engine: AsyncEngine,
    *,
    report: Report,
    say: Say,
    keep: int | None = None,
    accept_stopped: bool = False,
    code_version: str = CODE_VERSION,
) -> RebuildResult:
    """Fill a generation from the log and make it live; one that was begun by this code goes on.

    Readers and projectors go on with the live one meanwhile. Killed at any moment, it is repeated.
    Of the generations that were live before, the `keep` newest are kept; None keeps all.

    Raises:
        GenerationsError: another one is at it, or the switch was not possible; what is filled is
            kept, and a repetition goes on with it.
    """
    began = time.monotonic()
    async with upkeep_lock(engine):
        target = await _target(engine, code_version, say)
        head = await EventLog(engine).head()
        say(f"fills generation {target.number} from position {target.position} to {head}")
        counted = _Counting(report)
        await fill(engine, target, head, counted)
        async with engine.begin() as connection:
            await enter(connection, target.schema)
            await run_script(connection, "indexes.sql")
            await connection.execute(SET_FILLED, {"number": target.number})
            before = await live_generation(connection)
        await _analyze(engine, target)
        async with engine.begin() as connection:
            target = await hold(connection, target.number)
        await fill(engine, target, await EventLog(engine).head(), counted)
        say(f"compares generation {target.number} with generation {before.number}")
        parity = await compare(engine, before, target, first=FIRST_DIFFERENCES)
        stopped = await switch(engine, target.number, accept_stopped=accept_stopped, report=counted)
        dropped = [] if keep is None else await _drop_old(engine, keep)
        async with engine.connect() as connection:
            live = await live_generation(connection)
    seconds = time.monotonic() - began
    return RebuildResult(live, before, counted.events, seconds, parity, stopped, dropped)


async def rollback(
    engine: AsyncEngine, *, report: Report, say: Say, accept_stopped: bool = False
) -> RebuildResult:
    """Catch the generation that was live before up with the log, and make it live again.

    Raises:
        GenerationsError: there is none, its tables are others, it has more than the log, or the
            switch was not possible.
    """
    began = time.monotonic()
    async with upkeep_lock(engine):
        async with engine.begin() as connection:
            live = await live_generation(connection)
            old = [g for g in await generations(connection) if g.state == "old"]
            if not old:
                raise GenerationsError("there is no generation that was live before")
            target = max(old, key=lambda g: (g.switched_at, g.number))
            await _check_same_tables(connection, target, live)
            if await _is_ahead(connection, target):
                raise GenerationsError(
                    f"generation {target.number} has more than the log, which was restored since. "
                    "Remedy: spreaview-sync projections rebuild"
                )
            await enter(connection, target.schema)
            position = (await connection.execute(APPLIED_UP_TO)).scalar_one()
            await connection.execute(SET_POSITION, {"number": target.number, "position": position})
            target = await hold(connection, target.number)
        say(f"catches generation {target.number} up from position {position}")
        counted = _Counting(report)
        stopped = await switch(engine, target.number, accept_stopped=accept_stopped, report=counted)
        async with engine.connect() as connection:
            now = await live_generation(connection)
    return RebuildResult(now, live, counted.events, time.monotonic() - began, None, stopped, [])


async def drop_generations(engine: AsyncEngine, number: int | None) -> list[int]:
    """Drop one generation, or every one that was filled and is not live; the numbers dropped.

    Raises:
        GenerationsError: there is no such generation, it is live, or a rebuild is running.
    """
    async with upkeep_lock(engine):
        if number is None:
            return await _drop_old(engine, 0)
        async with engine.begin() as connection:
            for generation in await generations(connection):
                if generation.number == number:
                    await drop(connection, generation)
                    return [number]
    raise GenerationsError(
        f"there is no generation {number}; spreaview-sync projections generations lists them"
    )


async def generation_summaries(engine: AsyncEngine) -> list[GenerationSummary]:
    """Every generation, by number, with its rows counted."""
    shown = []
    async with engine.connect() as connection:
        for generation in await generations(connection):
            rows = size = 0
            tables = await connection.execute(TABLE_SIZES, {"schema": generation.schema})
            for table in tables.all():
                counted = await connection.execute(
                    text(f'SELECT count(*) FROM {generation.schema}."{table.relname}"')  # noqa: S608
                )
                rows, size = rows + counted.scalar_one(), size + table.size
            shown.append(GenerationSummary(generation, rows, size))
    return shown


class _Counting:
    """Adds up the events of several fillings."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.events = 0

    def __call__(self, filled: FillProgress) -> None:
        self.events += filled.page
        self._report(filled)


async def _target(engine: AsyncEngine, code_version: str, say: Say) -> Generation:
    """The generation to be filled: one that this code has begun, or a new one."""
    async with engine.begin() as connection:
        await live_generation(connection)
        for begun in await generations(connection):
            if begun.state not in ("filling", "filled"):
                continue
            begun = await hold(connection, begun.number)
            if begun.live:
                continue
            if await _is_ahead(connection, begun):
                say(
                    f"drops generation {begun.number}, which has more than the log, and begins anew"
                )
                await drop(connection, begun)
                continue
            if begun.code_version == code_version:
                say(f"goes on with generation {begun.number}, begun at {begun.created_at:%F %T %Z}")
                return begun
            say(
                f"drops generation {begun.number}, which other code ({begun.code_version}) has "
                "begun, and begins anew"
            )
            await drop(connection, begun)
        number = (await connection.execute(NEXT_NUMBER)).scalar_one()
        return await create(connection, number=number, live=False, code_version=code_version)


async def _is_ahead(connection: AsyncConnection, generation: Generation) -> bool:
    """Whether there are rows in it that the log knows nothing of: it was restored meanwhile."""
    await enter(connection, generation.schema)
    return (await connection.execute(AHEAD_STREAMS)).first() is not None


async def _analyze(engine: AsyncEngine, generation: Generation) -> None:
    """Let PostgreSQL know what is in the tables, before queries come."""
    async with engine.begin() as connection:
        for row in (await connection.execute(TABLE_SIZES, {"schema": generation.schema})).all():
            await connection.execute(text(f'ANALYZE {generation.schema}."{row.relname}"'))


async def _check_same_tables(
    connection: AsyncConnection, target: Generation, live: Generation
) -> None:
    shapes = [
        [tuple(row) for row in await connection.execute(TABLE_COLUMNS, {"schema": g.schema})]
        for g in (target, live)
    ]
    if shapes[0] != shapes[1]:
        raise GenerationsError(
            f"the tables of generation {target.number} are not those of generation {live.number}: "
            "this program cannot write them. Remedy: run projections rebuild with the program "
            f"whose projections are {target.code_version}."
        )


async def _drop_old(engine: AsyncEngine, keep: int) -> list[int]:
    async with engine.begin() as connection:
        old = [g for g in await generations(connection) if g.filled_at and not g.live]
        old.sort(key=lambda g: (g.switched_at is not None, g.switched_at, g.number), reverse=True)
        for generation in old[keep:]:
            await drop(connection, generation)
        return [generation.number for generation in old[keep:]]
