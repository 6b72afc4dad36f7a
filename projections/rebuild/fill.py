"""Filling a generation that is not live: the log in big pages, in the order of positions.

Nobody reads such a generation and only one process writes it, so there are no row locks; each page
is one transaction with the position that it reaches, and a process that was killed goes on there.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import CUT_TYPES
from eventstore.errors import is_database_outage
from eventstore.model import Recorded
from eventstore.read import read_outcomes
from projections import statements
from projections.changes import project
from projections.generations import ADVANCE, Generation, GenerationsError, enter
from projections.stopping import stop
from projections.version import CODE_VERSION
from projections.write import write

FILL_PAGE = 5_000
"""Events per transaction."""

FILL_BYTES = 8 * 1024 * 1024
"""As stored: bounds the memory where events are long."""

UNBOUNDED = 2**62


# Positions are kept as they were, so a session that dies loses its last pages and their position.
COMMIT_EARLY = text("SELECT set_config('synchronous_commit', 'off', true)")

PROGRESS_OF = text("""
    SELECT spreaview_event_id, version, error IS NOT NULL AS stopped FROM stream_progress
    WHERE spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))
""")


class FillProgress(NamedTuple):
    """How far the filling of a generation is."""

    position: int
    head: int
    """Of the log, as seen when this filling began."""
    page: int
    """Events of this page."""
    events: int
    """Read since this filling began."""
    seconds: float
    """Since this filling began."""
    remaining: float
    """Seconds left at the pace so far."""

    @property
    def percent(self) -> float:
        """The part of the log that is read."""
        return 100 * self.position / self.head

    @property
    def events_per_second(self) -> float:
        """The pace so far."""
        return self.events / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, object]:
        """A line of progress of `projections rebuild --json`."""
        return {
            **self._asdict(),
            "percent": round(self.percent, 1),
            "events_per_second": round(self.events_per_second),
        }


Report = Callable[[FillProgress], None]


class TakenOverError(GenerationsError):
    """Another process has moved this generation: ours had lost its connection."""

    def __init__(self, generation: Generation) -> None:
        super().__init__(
            f"generation {generation.number} is being filled by another process, or was dropped. "
            "See spreaview-sync projections generations"
        )


async def fill(engine: AsyncEngine, generation: Generation, head: int, report: Report) -> int:
    """Apply the log beyond the generation's position, up to `head` at least; the position reached.

    The next page is read while one is written. What is appended meanwhile is not chased after: who
    appends all the time would keep it from ending.
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
                fresh = await _as_of_now(connection, after, page)
                after = await apply_page(connection, generation, after, fresh)
            events += len(fresh)
            seconds = time.monotonic() - began
            left = max(0, head - after) * seconds / max(1, after - start)
            report(FillProgress(after, max(head, after), len(fresh), events, seconds, left))
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
    return after


class _Page(NamedTuple):
    events: Sequence[Recorded]
    erasures: object
    """What had been erased before they were read."""


async def _read(engine: AsyncEngine, after: int) -> _Page:
    async with engine.connect() as connection:
        erasures = await _erasures(connection)
        events = await read_outcomes(connection, after, limit=FILL_PAGE, max_bytes=FILL_BYTES)
        return _Page(events, erasures)


async def _erasures(connection: AsyncConnection) -> object:
    return tuple((await connection.execute(statements.ERASURES)).one())


async def _as_of_now(connection: AsyncConnection, after: int, page: _Page) -> Sequence[Recorded]:
    """The page without what was erased since it was read.

    From here to the end of the transaction nobody is forgotten: an erasure is before the writing,
    or clears what it has written.
    """
    await connection.execute(statements.SHARE_GENERATION)
    if await _erasures(connection) == page.erasures:
        return page.events
    return await read_outcomes(connection, after, limit=len(page.events), max_bytes=UNBOUNDED)


async def apply_page(
    connection: AsyncConnection, generation: Generation, after: int, page: Sequence[Recorded]
) -> int:
    """Apply whole outcomes to a generation that stands at position `after`; where it stands now.

    What a stream has already is passed over. An outcome that cannot be applied stops its stream
    only, before that outcome, recorded with the error, as a projector does it.

    Raises:
        TakenOverError: the generation does not stand there, or is live.
    """
    position = page[-1].position
    moved = await connection.execute(
        ADVANCE,
        {"number": generation.number, "before": after, "position": position},
    )
    if moved.rowcount != 1:
        raise TakenOverError(generation)
    await enter(connection, generation.schema)
    streams = {"stream_ids": sorted({event.stream_id for event in page})}
    await connection.execute(statements.CREATE_PROGRESS, streams)
    found = await connection.execute(PROGRESS_OF, streams)
    goes_on = {row.spreaview_event_id: row.version for row in found if not row.stopped}
    fresh = [
        event
        for event in page
        if event.stream_id in goes_on and event.version > goes_on[event.stream_id]
    ]
    if fresh:
        await _apply(connection, fresh)
    return position


async def _apply(connection: AsyncConnection, events: Sequence[Recorded]) -> bool:
    """Apply events, in ever smaller parts if they cannot be; whether all of them were."""
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
    """One stream's events, outcome by outcome."""
    parts: list[list[Recorded]] = [[]]
    for event in events:
        parts[-1].append(event)
        if event.type in CUT_TYPES:
            parts.append([])
    return [part for part in parts if part]
