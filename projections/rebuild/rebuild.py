"""Rebuild the read models into a new generation, or roll back to the generation before."""

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
    list_generations,
    live_generation,
    lock_generation,
    maintenance_lock,
    select_generation,
)
from projections.rebuild.dropping import drop_old
from projections.rebuild.fill import FillProgress, ReportProgress, fill
from projections.rebuild.parity import Parity, compare
from projections.rebuild.switch import StoppedInNew, switch
from projections.status import AHEAD_STREAMS
from projections.tables import TABLE_COLUMNS, TABLE_SIZES, run_script
from projections.version import CODE_VERSION

FIRST_DIFFERENCES = 5
"""Differences reported per table."""

# Every event up to this position is applied, except for stopped streams.
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

ReportStep = Callable[[str], None]


@dataclass(frozen=True)
class RebuildResult:
    """The result of a rebuild or a rollback."""

    live: Generation
    before: Generation
    """The generation that was live before."""
    events: int
    """Events read by this process."""
    seconds: float
    parity: Parity | None
    """The comparison of both generations before the switch; None for a rollback."""
    stopped: Sequence[StoppedInNew]
    dropped: Sequence[int]
    problem: str | None = None
    """Why old generations were not dropped; None unless that was refused."""

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
            "problem": self.problem,
        }


class GenerationSummary(NamedTuple):
    """A generation with its size."""

    generation: Generation
    rows: int
    size: int
    """Bytes, including the indexes."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections generations --json`."""
        return {**self.generation.to_json(), "rows": self.rows, "size_bytes": self.size}


async def rebuild(
    engine: AsyncEngine,
    *,
    report_progress: ReportProgress,
    report_step: ReportStep,
    keep: int | None = None,
    accept_stopped: bool = False,
    code_version: str = CODE_VERSION,
) -> RebuildResult:
    """Fill a generation from the log and make it live, or resume one that this code has begun.

    Readers and projectors use the live generation meanwhile. After a crash at any moment, call it
    again. Afterwards the `keep` newest old generations are kept; None keeps all. If the others
    cannot be dropped, the result names the problem: the new generation is live all the same.

    Raises:
        GenerationsError: another rebuild is running, or the switch was not possible. The filled
            generation is kept, and the next call resumes it.
    """
    began = time.monotonic()
    async with maintenance_lock(engine):
        target = await _target(engine, code_version, report_step)
        head = await EventLog(engine).head()
        report_step(f"filling generation {target.number} from position {target.position} to {head}")
        counter = _EventCounter(report_progress)
        await fill(engine, target, head, counter)
        async with engine.begin() as connection:
            await select_generation(connection, target.schema)
            await run_script(connection, "indexes.sql")
            await connection.execute(SET_FILLED, {"number": target.number})
            before = await live_generation(connection)
        await _analyze(engine, target)
        async with engine.begin() as connection:
            target = await lock_generation(connection, target.number)
        await fill(engine, target, await EventLog(engine).head(), counter)
        report_step(f"comparing generation {target.number} with generation {before.number}")
        parity = await compare(engine, before, target, first=FIRST_DIFFERENCES)
        stopped = await switch(
            engine, target.number, accept_stopped=accept_stopped, report_progress=counter
        )
        dropped: Sequence[int] = []
        problem = None
        if keep is not None:
            try:
                dropped = await drop_old(engine, keep)
            except GenerationsError as error:
                problem = str(error)
        async with engine.connect() as connection:
            live = await live_generation(connection)
    seconds = time.monotonic() - began
    return RebuildResult(live, before, counter.events, seconds, parity, stopped, dropped, problem)


async def rollback(
    engine: AsyncEngine,
    *,
    report_progress: ReportProgress,
    report_step: ReportStep,
    accept_stopped: bool = False,
) -> RebuildResult:
    """Make the generation that was live before live again, after it has caught up with the log.

    Raises:
        GenerationsError: no such generation exists, its tables differ, it is ahead of the log, or
            the switch was not possible.
    """
    began = time.monotonic()
    async with maintenance_lock(engine):
        async with engine.begin() as connection:
            live = await live_generation(connection)
            old = [g for g in await list_generations(connection) if g.state == "old"]
            if not old:
                raise GenerationsError("there is no generation that was live before")
            target = max(old, key=lambda g: (g.switched_at, g.number))
            await _check_same_tables(connection, target, live)
            if await _is_ahead(connection, target):
                raise GenerationsError(
                    f"generation {target.number} is ahead of the log, which was restored since. "
                    "Remedy: spreaview-sync projections rebuild"
                )
            await select_generation(connection, target.schema)
            position = (await connection.execute(APPLIED_UP_TO)).scalar_one()
            await connection.execute(SET_POSITION, {"number": target.number, "position": position})
            target = await lock_generation(connection, target.number)
        report_step(f"catching up generation {target.number} from position {position}")
        counter = _EventCounter(report_progress)
        stopped = await switch(
            engine, target.number, accept_stopped=accept_stopped, report_progress=counter
        )
        async with engine.connect() as connection:
            now = await live_generation(connection)
    return RebuildResult(now, live, counter.events, time.monotonic() - began, None, stopped, [])


async def generation_summaries(engine: AsyncEngine) -> list[GenerationSummary]:
    """Return every generation, by number, with its row count and size."""
    shown = []
    async with engine.connect() as connection:
        for generation in await list_generations(connection):
            rows = size = 0
            tables = await connection.execute(TABLE_SIZES, {"schema": generation.schema})
            for table in tables.all():
                counted = await connection.execute(
                    text(f'SELECT count(*) FROM {generation.schema}."{table.relname}"')  # noqa: S608
                )
                rows, size = rows + counted.scalar_one(), size + table.size
            shown.append(GenerationSummary(generation, rows, size))
    return shown


class _EventCounter:
    """Reports progress and sums the events over several calls of `fill`."""

    def __init__(self, report_progress: ReportProgress) -> None:
        self._report_progress = report_progress
        self.events = 0

    def __call__(self, progress: FillProgress) -> None:
        self.events += progress.page
        self._report_progress(progress)


async def _target(engine: AsyncEngine, code_version: str, report_step: ReportStep) -> Generation:
    """Return the generation to fill: one that this code has begun, or a new one."""
    resumed: Generation | None = None
    useless = []
    async with engine.begin() as connection:
        await live_generation(connection)
        for begun in await list_generations(connection):
            if begun.state not in ("filling", "filled"):
                continue
            begun = await lock_generation(connection, begun.number)
            if begun.live:
                continue
            if await _is_ahead(connection, begun):
                report_step(
                    f"dropping generation {begun.number}, which is ahead of the log; starting over"
                )
                useless.append(begun)
                continue
            if begun.code_version == code_version:
                report_step(
                    f"resuming generation {begun.number}, begun at {begun.created_at:%F %T %Z}"
                )
                resumed = begun
                break
            report_step(
                f"dropping generation {begun.number}, which other code ({begun.code_version}) has "
                "begun; starting over"
            )
            useless.append(begun)
    await drop(engine, useless)
    if resumed:
        return resumed
    async with engine.begin() as connection:
        number = (await connection.execute(NEXT_NUMBER)).scalar_one()
        return await create(connection, number=number, live=False, code_version=code_version)


async def _is_ahead(connection: AsyncConnection, generation: Generation) -> bool:
    """Whether the generation has rows of events that a restored log lacks."""
    await select_generation(connection, generation.schema)
    return (await connection.execute(AHEAD_STREAMS)).first() is not None


async def _analyze(engine: AsyncEngine, generation: Generation) -> None:
    """Update the planner's statistics before queries use the tables."""
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
            f"the tables of generation {target.number} differ from those of generation "
            f"{live.number}: this program cannot write them. Remedy: run projections rebuild with "
            f"the program whose projections are {target.code_version}."
        )
