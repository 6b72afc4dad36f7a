"""The switch: one transaction makes another generation live for the views and the projectors."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.wording import counted
from eventstore.log import EventLog
from eventstore.read import read_outcomes
from projections.generations import (
    BECOME_LIVE,
    LEAVE_LIVE,
    TAKE_GENERATION,
    Generation,
    GenerationsError,
    NoQuietMomentError,
    live_generation,
    lock_generation,
    select_generation,
)
from projections.grants import copy_grants
from projections.lock_conflicts import (
    LOCK_TIMEOUT,
    PROJECTORS_WAIT,
    READERS_WAIT,
    NotNowError,
    in_a_quiet_moment,
)
from projections.rebuild.fill import PROGRESS_OF, ReportProgress, apply_page, fill
from projections.tables import run_script

LAST_EVENTS = 2_000
"""The most events that a switch applies while projectors are blocked."""

STOPPED = text("""
    SELECT spreaview_event_id, version, error FROM stream_progress
    WHERE error IS NOT NULL ORDER BY spreaview_event_id
""")


class StoppedInNew(NamedTuple):
    """A stream that has stopped in the generation that will become live."""

    stream_id: UUID
    version: int
    """The applied version there."""
    live_version: int
    """The applied version in the live generation."""
    live_stopped: bool
    error: str

    def to_json(self) -> dict[str, object]:
        """The fields by name; the id as text."""
        return {**self._asdict(), "stream_id": str(self.stream_id)}

    @property
    def is_worse(self) -> bool:
        """Whether the switch would lose events of the stream, or stop one that continues now."""
        return not self.live_stopped or self.version < self.live_version


class StoppedStreamsError(GenerationsError):
    """Streams have stopped in the generation to switch to but continue in the live one."""

    def __init__(self, target: Generation, stopped: Sequence[StoppedInNew]) -> None:
        self.stopped = stopped
        named = "\n".join(
            f"  {stream.stream_id} after version {stream.version} "
            f"(live: {stream.live_version}): {stream.error}"
            for stream in stopped[:20]
        )
        streams = counted(len(stopped), "stream")
        where = "the new generation"
        remedy = (
            f"fix the cause, spreaview-sync projections drop {target.number}, and rebuild again"
        )
        if target.switched_at is not None:  # a rollback: it needs the generation
            where = f"generation {target.number}"
            remedy = "keep the live generation, or run spreaview-sync projections rebuild"
        super().__init__(
            f"no switch: {streams} stopped in {where}, and the live generation has more events of "
            f"each:\n{named}\n"
            f"Remedy: {remedy}; or use --accept-stopped: a stream then stays stopped until "
            "spreaview-sync projections retry resumes it."
        )


async def switch(
    engine: AsyncEngine, number: int, *, accept_stopped: bool, report_progress: ReportProgress
) -> Sequence[StoppedInNew]:
    """Catch up a filled generation and make it live; return the streams that stopped in it.

    It gets the rights that other roles have on the live one now.

    Readers of the views wait for milliseconds at most and never see an older state than before.

    Raises:
        StoppedStreamsError: readers would lose events of a stream, and `accept_stopped` is false.
        NoQuietMomentError: the locks were not available within about two minutes.
    """

    async def fill_and_switch() -> Sequence[StoppedInNew]:
        async with engine.begin() as connection:
            generation = await lock_generation(connection, number)
            live = await live_generation(connection)
            await copy_grants(connection, live.schema, generation.schema)
        await fill(engine, generation, await EventLog(engine).head(), report_progress)
        return await _try_switch(engine, number, accept_stopped=accept_stopped)

    refusal = NoQuietMomentError("no switch, and the filled generation is kept")
    return await in_a_quiet_moment(fill_and_switch, refusal)


async def _try_switch(
    engine: AsyncEngine, number: int, *, accept_stopped: bool
) -> Sequence[StoppedInNew]:
    async with engine.begin() as connection:
        await connection.execute(LOCK_TIMEOUT, {"timeout": PROJECTORS_WAIT})
        await connection.execute(TAKE_GENERATION)
        generation = await lock_generation(connection, number)
        await _catch_up(connection, generation)
        live = await live_generation(connection)
        stopped = await stopped_in(connection, generation, live)
        worse = [stream for stream in stopped if stream.is_worse]
        if worse and not accept_stopped:
            raise StoppedStreamsError(generation, worse)
        await connection.execute(LEAVE_LIVE)
        await connection.execute(BECOME_LIVE, {"number": number})
        await connection.execute(LOCK_TIMEOUT, {"timeout": READERS_WAIT})
        await select_generation(connection, generation.schema)
        await run_script(connection, "views.sql")
    return stopped


async def _catch_up(connection: AsyncConnection, generation: Generation) -> None:
    """Apply the remaining events up to the head. No projector has applied later ones.

    Raises:
        NotNowError: they are more than LAST_EVENTS.
    """
    after, applied = generation.position, 0
    while page := await read_outcomes(connection, after, limit=LAST_EVENTS):
        applied += len(page)
        if applied > LAST_EVENTS:
            raise NotNowError
        after = await apply_page(connection, generation, after, page)


async def stopped_in(
    connection: AsyncConnection, generation: Generation, live: Generation
) -> list[StoppedInNew]:
    """Return the streams that stopped in a generation, with their state in the live one."""
    await select_generation(connection, generation.schema)
    found = (await connection.execute(STOPPED)).all()
    await select_generation(connection, live.schema)
    ids = {"stream_ids": [row.spreaview_event_id for row in found]}
    now: Mapping[UUID, tuple[int, bool]] = {
        row.spreaview_event_id: (row.version, row.stopped)
        for row in await connection.execute(PROGRESS_OF, ids)
    }
    return [
        StoppedInNew(
            row.spreaview_event_id,
            row.version,
            *now.get(row.spreaview_event_id, (0, False)),
            error=row.error,
        )
        for row in found
    ]
