"""The projector: a signal names streams, the log says what they have, one transaction applies it.

What Kafka duplicates, delays or loses does no harm: versions, not records, decide what is new.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple
from uuid import UUID

from faststream.kafka import KafkaRouter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.error_text import describe_error
from contracts.topics import IMPORT_EVENTS
from eventstore.errors import is_database_outage
from eventstore.read import PAGE, read_streams
from messaging.backoff import persist
from messaging.batch_consumer import Membership, RawRecord, subscribe
from projections import statements
from projections.changes import project
from projections.generations import NoGenerationError, enter_live
from projections.status import STOPPED_STREAMS, ahead_streams
from projections.stopping import RESUME_STREAM, STOPPED_BY_OTHERS, stop, stop_ahead
from projections.version import CODE_VERSION
from projections.write import write

logger = logging.getLogger(__name__)

GROUP = "spreaview-projector"

_SWEEP_LIMIT = 1000
_SWEEPS_TO_A_LOOK_AHEAD = 60


class ResumedStream(NamedTuple):
    """The result of resuming a stopped stream."""

    stream_id: UUID
    error: str | None
    """Why the stream is stopped again; None if it continues."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections retry --json`."""
        return {"spreaview_event_id": str(self.stream_id), "error": self.error}


class Projector:
    """Keeps the read models of the live generation up to date. Any number may run at once."""

    def __init__(
        self, engine: AsyncEngine, *, sweep_seconds: float, code_version: str = CODE_VERSION
    ) -> None:
        self._engine = engine
        self._sweep_seconds = sweep_seconds
        self._code_version = code_version
        self._tried: set[tuple[UUID, int]] = set()
        """Stopped streams that this process has tried, and the version at which they stood."""

    def router(self, *, session_seconds: float, max_records: int) -> KafkaRouter:
        """The FastStream router to be included in the application's broker."""
        router = KafkaRouter()
        membership = Membership(GROUP, session_seconds)
        subscribe(router, IMPORT_EVENTS, self.take, membership=membership, max_records=max_records)
        return router

    async def take(self, records: Sequence[RawRecord]) -> None:
        """Bring the streams that the records' keys name to the log's state."""
        streams = {stream for record in records if (stream := _stream_of(record)) is not None}
        await self.catch_up(sorted(streams))

    async def sweep(self) -> None:
        """Look for streams that lag behind the log, for ever: a lost signal heals here.

        So does a stream that other code could not go on with, once, with ours. From time to time it
        looks for streams that are ahead of the log, which was restored then, and stops them.
        """
        for sweep in count():
            if sweep % _SWEEPS_TO_A_LOOK_AHEAD == 0:
                await self._stop_what_is_ahead(say_all=sweep == 0)
            await self._go_on_with_what_others_stopped()
            lagging = await persist("projector: sweep", self._lagging, on=_is_outage)
            await self.catch_up(lagging)
            if len(lagging) < _SWEEP_LIMIT:
                await asyncio.sleep(self._sweep_seconds)

    async def catch_up(self, stream_ids: Sequence[UUID]) -> None:
        """Apply all that lies beyond the streams' applied versions, whole outcomes at a time.

        An event that cannot be applied stops its stream, recorded with the error; the other
        streams go on. Waits for a database that is down.
        """
        if not stream_ids:
            return
        try:
            await persist("projector", lambda: self._catch_up_together(stream_ids), on=_is_outage)
        except Exception as error:
            if len(stream_ids) == 1:
                await self._stop(stream_ids[0], error)
                return
            logger.warning("a batch is applied stream by stream after: %s", describe_error(error))
            for stream_id in stream_ids:
                await self.catch_up([stream_id])

    async def _catch_up_together(self, stream_ids: Sequence[UUID]) -> None:
        while True:
            async with self._engine.begin() as connection:
                if not await apply_next(connection, stream_ids, code_version=self._code_version):
                    return

    async def _lagging(self) -> list[UUID]:
        async with self._engine.begin() as connection:
            await enter_live(connection)
            found = await connection.execute(statements.LAGGING_STREAMS, {"limit": _SWEEP_LIMIT})
            return sorted(found.scalars())

    async def resume(self, stream_ids: Sequence[UUID] | None) -> list[ResumedStream]:
        """Resume stopped streams, or all of them if `stream_ids` is None; return those tried.

        A stream stops again at an event that still cannot be applied. A stream that is ahead of
        the log stays stopped.
        """
        stopped = await self._stopped()
        tried = sorted(stopped if stream_ids is None else stopped.keys() & set(stream_ids))
        for stream_id in tried:
            await self._try_again(stream_id)
        still_stopped = await self._stopped()
        return [ResumedStream(stream_id, still_stopped.get(stream_id)) for stream_id in tried]

    async def _stopped(self) -> dict[UUID, str]:
        """The error of each stopped stream."""
        async with self._engine.begin() as connection:
            await enter_live(connection)
            found = await connection.execute(STOPPED_STREAMS)
            return {row.spreaview_event_id: row.error for row in found}

    async def _go_on_with_what_others_stopped(self) -> None:
        """Try again with the streams that other code stopped, each once at one version.

        So two versions of the program side by side, as in a rolling update, do not fight.
        """
        for stream_id, version in await persist("projector: sweep", self._untried, on=_is_outage):
            logger.info("stream %s, which other code stopped, is tried again", stream_id)
            self._tried.add((stream_id, version))
            await self._try_again(stream_id)

    async def _untried(self) -> list[tuple[UUID, int]]:
        async with self._engine.begin() as connection:
            await enter_live(connection)
            found = await connection.execute(
                STOPPED_BY_OTHERS, {"code_version": self._code_version}
            )
            return [
                (row.spreaview_event_id, row.version) for row in found if row not in self._tried
            ]

    async def _try_again(self, stream_id: UUID) -> None:
        """It is stopped for all others until something was applied: nobody else tries meanwhile."""

        async def apply_first() -> None:
            async with self._engine.begin() as connection:
                await enter_live(connection)
                await connection.execute(RESUME_STREAM, {"stream_id": stream_id})
                await apply_next(connection, [stream_id], code_version=self._code_version)

        try:
            await persist("projector", apply_first, on=_is_outage)
        except Exception as error:
            await self._stop(stream_id, error)
        else:
            await self.catch_up([stream_id])

    async def _stop_what_is_ahead(self, *, say_all: bool) -> None:
        """Stop the streams that are ahead; of those that are stopped already, tell at the start."""
        ahead = await persist(
            "projector: sweep", lambda: ahead_streams(self._engine), on=_is_outage
        )
        await self.catch_up([stream.stream_id for stream in ahead if not stream.stopped])
        known = sum(stream.stopped for stream in ahead)
        if known and say_all:
            logger.error(
                "%d streams that have stopped are ahead of the log, which was restored to an "
                "earlier time, or replaced. Remedy: spreaview-sync projections repair --ahead",
                known,
            )

    async def _stop(self, stream_id: UUID, error: Exception) -> None:
        logger.error("stream %s is stopped: %s", stream_id, describe_error(error))

        async def record() -> int:
            async with self._engine.begin() as connection:
                await enter_live(connection)
                return await stop(connection, stream_id, error, self._code_version)

        version = await persist("projector: recording a stopped stream", record, on=_is_outage)
        self._tried.add((stream_id, version))


async def apply_next(
    connection: AsyncConnection,
    stream_ids: Sequence[UUID],
    *,
    limit: int = PAGE,
    code_version: str = CODE_VERSION,
) -> bool:
    """Apply the next outcomes of some streams; False if nothing lies beyond their versions.

    The progress rows are created, then locked, and only then is the log read, in a statement of
    its own: so of two projectors the second sees what the first has applied. A stream whose last
    applied event is not in the log any more is stopped instead.
    """
    await enter_live(connection)
    wanted = {"stream_ids": sorted(stream_ids)}
    await connection.execute(statements.CREATE_PROGRESS, wanted)
    locked = await connection.execute(statements.LOCK_PROGRESS, wanted)
    versions = {row.spreaview_event_id: row.version for row in locked}
    for stream_id, error in (await stop_ahead(connection, list(versions), code_version)).items():
        logger.error("stream %s is stopped: %s", stream_id, describe_error(error))
        del versions[stream_id]
    events = await read_streams(connection, versions, limit=limit) if versions else []
    if not events:
        return False
    await write(connection, project(events))
    return True


def _is_outage(error: BaseException) -> bool:
    return is_database_outage(error) or isinstance(error, NoGenerationError)


def _stream_of(record: RawRecord) -> UUID | None:
    try:
        return UUID((record.key or b"").decode())
    except ValueError:
        logger.warning(
            "%s/%d@%d has no SpreaView event as its key: passed over",
            record.topic,
            record.partition,
            record.offset,
        )
        return None
