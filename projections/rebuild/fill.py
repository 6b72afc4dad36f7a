"""Fill a generation that is not live: apply the log in large pages, in the order of positions.

No row locks are needed, because only one process writes such a generation and no reader sees it.
One transaction applies a page and records its position, from which a killed process resumes.
Streams that the generation does not have yet are copied; the statements of a projector update the
others.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.error_text import describe_error
from contracts.events import CUT_TYPES
from contracts.wording import counted
from eventstore.driver import driver_of
from eventstore.errors import is_database_outage
from eventstore.model import Recorded
from eventstore.read import read_outcomes
from projections import statements
from projections.changes import project
from projections.generations import ADVANCE, Generation, GenerationsError, select_generation
from projections.rebuild.copying import copied_tables, copy_rows
from projections.stopping import stop
from projections.tables import TABLE_COLUMNS
from projections.version import CODE_VERSION
from projections.write import write

logger = logging.getLogger(__name__)

FILL_PAGE = 20_000
"""Events per transaction: most streams are then copied with all of their first events."""

FILL_BYTES = 16 * 1024 * 1024
"""Stored size of a page: limits the memory if events are large."""

UNBOUNDED = 2**62


# A crash of PostgreSQL may then lose the last pages, but only together with their positions.
COMMIT_EARLY = text("SELECT set_config('synchronous_commit', 'off', true)")

PROGRESS_OF = text("""
    SELECT spreaview_event_id, version, error IS NOT NULL AS stopped FROM stream_progress
    WHERE spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))
""")


class FillProgress(NamedTuple):
    """Progress of filling a generation."""

    position: int
    head: int
    """Position of the newest event in the log when this process began to fill."""
    page: int
    """Events in this page."""
    events: int
    """Events read since this process began to fill."""
    seconds: float
    """Since this process began to fill."""
    remaining: float
    """Estimated seconds until the end, at the average speed so far."""

    @property
    def percent(self) -> float:
        """The part of the log that has been read."""
        return 100 * self.position / self.head

    @property
    def events_per_second(self) -> float:
        """Average speed so far."""
        return self.events / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, object]:
        """A line of progress of `projections rebuild --json`."""
        return {
            **self._asdict(),
            "percent": round(self.percent, 1),
            "events_per_second": round(self.events_per_second),
        }


ReportProgress = Callable[[FillProgress], None]


class TakenOverError(GenerationsError):
    """Another process has taken over this generation after ours lost its connection."""

    def __init__(self, generation: Generation) -> None:
        super().__init__(
            f"generation {generation.number} is being filled by another process, or was dropped. "
            "See spreaview-sync projections generations"
        )


async def fill(
    engine: AsyncEngine, generation: Generation, head: int, report_progress: ReportProgress
) -> int:
    """Apply the log from the generation's position up to at least `head`; return the new position.

    The next page is read while the current one is written. Events appended meanwhile are left to
    the switch: chasing them might never end.
    """
    began, start, after, events = time.monotonic(), generation.position, generation.position, 0
    if after >= head:
        return after
    reading = asyncio.create_task(_read(engine, after))
    try:
        while after < head and (page := await reading).events:
            if page.events[-1].position < head:
                reading = asyncio.create_task(_read(engine, page.events[-1].position))
            async with engine.begin() as connection:
                await connection.execute(COMMIT_EARLY)
                fresh = await _without_erased(connection, after, page)
                after = await apply_page(connection, generation, after, fresh)
            events += len(fresh)
            seconds = time.monotonic() - began
            left = max(0, head - after) * seconds / max(1, after - start)
            report_progress(
                FillProgress(after, max(head, after), len(fresh), events, seconds, left)
            )
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
    return after


class _Page(NamedTuple):
    events: Sequence[Recorded]
    erasures: object
    """The state of erasures before the events were read."""


async def _read(engine: AsyncEngine, after: int) -> _Page:
    async with engine.connect() as connection:
        erasures = await _erasures(connection)
        events = await read_outcomes(connection, after, limit=FILL_PAGE, max_bytes=FILL_BYTES)
        return _Page(events, erasures)


async def _erasures(connection: AsyncConnection) -> object:
    return tuple((await connection.execute(statements.ERASURES)).one())


async def _without_erased(
    connection: AsyncConnection, after: int, page: _Page
) -> Sequence[Recorded]:
    """Return the events of a page without personal data erased since it was read.

    A lock keeps erasures out until the transaction ends. An erasure therefore comes either before
    this reading, or after the writing, and then clears the written rows.
    """
    await connection.execute(statements.SHARE_GENERATION)
    if await _erasures(connection) == page.erasures:
        return page.events
    return await read_outcomes(connection, after, limit=len(page.events), max_bytes=UNBOUNDED)


async def apply_page(
    connection: AsyncConnection, generation: Generation, after: int, page: Sequence[Recorded]
) -> int:
    """Apply whole outcomes to a generation at position `after`; return its new position.

    Events that a stream has already are ignored. An outcome that cannot be applied stops only its
    stream, at the version before that outcome, as in a projector.

    Raises:
        TakenOverError: the generation is at another position, or is live.
    """
    position = page[-1].position
    moved = await connection.execute(
        ADVANCE,
        {"number": generation.number, "before": after, "position": position},
    )
    if moved.rowcount != 1:
        raise TakenOverError(generation)
    await select_generation(connection, generation.schema)
    streams = {"stream_ids": sorted({event.stream_id for event in page})}
    await connection.execute(statements.CREATE_PROGRESS, streams)
    found = await connection.execute(PROGRESS_OF, streams)
    applied = {row.spreaview_event_id: row.version for row in found if not row.stopped}
    fresh = [
        event
        for event in page
        if event.stream_id in applied and event.version > applied[event.stream_id]
    ]
    new = [event for event in fresh if applied[event.stream_id] == 0]
    if new and not await _copy(connection, generation, new):
        await _apply(connection, new)
    if known := [event for event in fresh if applied[event.stream_id] > 0]:
        await _apply(connection, known)
    return position


async def _copy(
    connection: AsyncConnection, generation: Generation, events: Sequence[Recorded]
) -> bool:
    """Copy the rows of streams that have none; return whether all were copied, or else none."""
    try:
        async with connection.begin_nested():
            found = await connection.execute(TABLE_COLUMNS, {"schema": generation.schema})
            tables = copied_tables((row.relname, row.attname, row.type) for row in found)
            changes = project(map(copy, events))  # a copy does not keep its decoded data
            driver = await driver_of(connection)
            await copy_rows(connection, driver, generation.schema, tables, changes)
    except Exception as error:
        if is_database_outage(error):
            raise
        logger.warning(
            "the rows of %s cannot be copied and are written as a projector does: %s",
            counted(len({event.stream_id for event in events}), "stream"),
            describe_error(error),
        )
        return False
    return True


async def _apply(connection: AsyncConnection, events: Sequence[Recorded]) -> bool:
    """Apply events, in ever smaller parts after a failure; return whether all were applied."""
    try:
        async with connection.begin_nested():
            await write(connection, project(events))
    except Exception as error:
        if is_database_outage(error):
            raise
        failed = error
    else:
        return True
    by_stream: dict[UUID, list[Recorded]] = {}
    for event in events:
        by_stream.setdefault(event.stream_id, []).append(event)
    if len(by_stream) > 1:
        streams = list(by_stream.values())
        half = len(streams) // 2
        for part in (streams[:half], streams[half:]):
            await _apply(connection, [event for stream in part for event in stream])
        return False
    outcomes = _outcomes(events)
    if len(outcomes) > 1:
        for outcome in outcomes:
            if not await _apply(connection, outcome):
                return False
        return True
    await stop(connection, events[0].stream_id, failed, CODE_VERSION)
    return False


def _outcomes(events: Sequence[Recorded]) -> list[list[Recorded]]:
    """Split the events of one stream into its outcomes."""
    parts: list[list[Recorded]] = [[]]
    for event in events:
        parts[-1].append(event)
        if event.type in CUT_TYPES:
            parts.append([])
    return [part for part in parts if part]
