"""The switch: in one transaction the views show another generation, and projectors write it."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from asyncpg import DeadlockDetectedError, LockNotAvailableError, PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.log import EventLog
from eventstore.read import read_outcomes
from projections.generations import (
    BECOME_LIVE,
    LEAVE_LIVE,
    TAKE_GENERATION,
    Generation,
    GenerationsError,
    enter,
    hold,
    live_generation,
)
from projections.rebuild.fill import PROGRESS_OF, Report, apply_page, fill
from projections.tables import run_script

LAST_EVENTS = 2_000
"""What is caught up at most while projectors stand still."""

_TRIES = 120
_PROJECTORS_WAIT = "500ms"
_READERS_WAIT = "100ms"
"""Per view, of which there are eight: so we give up before PostgreSQL looks for deadlocks (1 s),
and no reader is ever its victim."""


LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :timeout, true)")

STOPPED = text("""
    SELECT spreaview_event_id, version, error FROM stream_progress
    WHERE error IS NOT NULL ORDER BY spreaview_event_id
""")


class StoppedInNew(NamedTuple):
    """A stream that stopped in a generation that is to become live."""

    stream_id: UUID
    version: int
    """What is applied of it there."""
    live_version: int
    """What is applied of it in the live generation."""
    live_stopped: bool
    error: str

    def to_json(self) -> dict[str, object]:
        """The fields by name; the id as text."""
        return {**self._asdict(), "stream_id": str(self.stream_id)}

    @property
    def is_worse(self) -> bool:
        """Whether readers would see less of it than now, or it goes on only where it is live."""
        return not self.live_stopped or self.version < self.live_version


class StoppedStreamsError(GenerationsError):
    """Streams have stopped in the new generation that go on in the live one."""

    def __init__(self, number: int, stopped: Sequence[StoppedInNew]) -> None:
        self.stopped = stopped
        named = "\n".join(
            f"  {stream.stream_id} after version {stream.version} "
            f"(live: {stream.live_version}): {stream.error}"
            for stream in stopped[:20]
        )
        super().__init__(
            f"no switch: {len(stopped)} streams cannot be applied any further, though the live "
            f"generation has more of them:\n{named}\n"
            f"Remedy: mend the cause, spreaview-sync projections drop {number}, and rebuild again; "
            "or say --accept-stopped: they then stand still, and spreaview-sync projections retry "
            "lets them go on."
        )


class NoQuietMomentError(GenerationsError):
    """Somebody has held the generation or a view all the time. Nothing was switched."""

    def __init__(self) -> None:
        super().__init__(
            "no switch: transactions have held the read models all the time. The generation is "
            "filled and kept. Remedy: end what pg_stat_activity shows as idle in transaction, "
            "then run this again."
        )


class _TooFarBehindError(Exception):
    """More events have come than may be applied while projectors stand still."""


async def switch(
    engine: AsyncEngine, number: int, *, accept_stopped: bool, report: Report
) -> Sequence[StoppedInNew]:
    """Catch a filled generation up with the log and make it live; the streams stopped in it.

    Readers of the views wait for milliseconds at most, then see at least what they saw before.

    Raises:
        StoppedStreamsError: readers would see less of a stream, and `accept_stopped` is not said.
        NoQuietMomentError: the locks were not to be had in about two minutes.
    """
    for _ in range(_TRIES):
        async with engine.begin() as connection:
            generation = await hold(connection, number)
        await fill(engine, generation, await EventLog(engine).head(), report)
        try:
            return await _try_switch(engine, number, accept_stopped=accept_stopped)
        except _TooFarBehindError:
            continue
        except (DBAPIError, PostgresError) as error:
            if not _is_lock_trouble(error):
                raise
        await asyncio.sleep(random.uniform(0.05, 1.0))  # noqa: S311 (no secret)
    raise NoQuietMomentError


async def _try_switch(
    engine: AsyncEngine, number: int, *, accept_stopped: bool
) -> Sequence[StoppedInNew]:
    async with engine.begin() as connection:
        await connection.execute(LOCK_TIMEOUT, {"timeout": _PROJECTORS_WAIT})
        await connection.execute(TAKE_GENERATION)
        generation = await hold(connection, number)
        await _catch_up(connection, generation)
        live = await live_generation(connection)
        stopped = await stopped_in(connection, generation, live)
        worse = [stream for stream in stopped if stream.is_worse]
        if worse and not accept_stopped:
            raise StoppedStreamsError(number, worse)
        await connection.execute(LEAVE_LIVE)
        await connection.execute(BECOME_LIVE, {"number": number})
        await connection.execute(LOCK_TIMEOUT, {"timeout": _READERS_WAIT})
        await enter(connection, generation.schema)
        await run_script(connection, "views.sql")
    return stopped


async def _catch_up(connection: AsyncConnection, generation: Generation) -> None:
    """Apply what has come since, up to the head: nothing that a projector applied is beyond it."""
    after, applied = generation.position, 0
    while page := await read_outcomes(connection, after, limit=LAST_EVENTS):
        applied += len(page)
        if applied > LAST_EVENTS:
            raise _TooFarBehindError
        after = await apply_page(connection, generation, after, page)


async def stopped_in(
    connection: AsyncConnection, generation: Generation, live: Generation
) -> list[StoppedInNew]:
    """The streams that stopped in a generation, and how they are in the live one."""
    await enter(connection, generation.schema)
    found = (await connection.execute(STOPPED)).all()
    await enter(connection, live.schema)
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


def _is_lock_trouble(error: DBAPIError | PostgresError) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error  # a script's is the driver's
    code = getattr(cause, "sqlstate", None)
    return code in (LockNotAvailableError.sqlstate, DeadlockDetectedError.sqlstate)
