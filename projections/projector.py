"""The projector: applies events from the log to the streams that Kafka records name.

One transaction applies a stream's events together with its new version. Kafka may duplicate, delay
or lose records, because the applied versions decide which events are new.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple, TypeVar
from uuid import UUID

from faststream.kafka import KafkaRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.error_text import describe_error
from contracts.outage_text import describe_outage
from contracts.topics import IMPORT_EVENTS
from contracts.wording import counted
from eventstore.driver import Executor, driver_transaction
from eventstore.errors import is_database_outage
from eventstore.read import PAGE, read_page_of_streams
from messaging.backoff import retry_until_success
from messaging.batch_consumer import Assignment, Membership, subscribe
from messaging.cloudevents import TRACEPARENT, position_of
from messaging.observer import UNOBSERVED, Observer
from messaging.raw_record import RawRecord
from projections import statements
from projections.applied import AppliedPositions
from projections.changes import project
from projections.generations import (
    GenerationAccessError,
    NoGenerationError,
    select_live_generation,
)
from projections.status import STOPPED_STREAMS, ahead_streams
from projections.stopping import RESUME_STREAM, STOPPED_BY_OTHERS, stop, stop_ahead
from projections.version import CODE_VERSION
from projections.write import write

logger = logging.getLogger(__name__)

T = TypeVar("T")

GROUP = "spreaview-projector"
RETRIED = (
    "projector",
    "projector: hints",
    "projector: sweep",
    "projector: recording a stopped stream",
)
"""Operations that are retried only while the database is down or refuses."""

_SWEEP_LIMIT = 1000
_SWEEPS_PER_AHEAD_CHECK = 60


class ResumedStream(NamedTuple):
    """The result of resuming a stopped stream."""

    stream_id: UUID
    error: str | None
    """Why the stream is stopped again; None if it continues."""

    def to_json(self) -> dict[str, object]:
        """An element of the answer of `projections retry --json`."""
        return {"spreaview_event_id": str(self.stream_id), "error": self.error}


class Projector:
    """Keeps the live generation up to date. Several projectors may run at the same time.

    Args:
        waits: whether to retry while the database is down or refuses, as a service does. A command
            does not: the error is raised.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        sweep_seconds: float,
        code_version: str = CODE_VERSION,
        observer: Observer = UNOBSERVED,
        waits: bool = True,
    ) -> None:
        self._engine = engine
        self._waits = waits
        self._apply_next = partial(apply_next, code_version=code_version, observer=observer)
        self._sweep_seconds = sweep_seconds
        self._code_version = code_version
        self._assignment: Assignment | None = None
        self._applied = AppliedPositions()
        self._tried: set[tuple[UUID, int]] = set()
        """Stopped streams that this process has tried to resume, with their applied versions."""

    def router(self, *, session_seconds: float, max_records: int) -> KafkaRouter:
        """Return a FastStream router that handles the import events."""
        router = KafkaRouter()
        membership = Membership(GROUP, session_seconds)
        self._assignment = subscribe(
            router, IMPORT_EVENTS, self.take, membership=membership, max_records=max_records
        )
        return router

    def reads(self, stream_id: UUID) -> bool:
        """Whether the Kafka records of a stream come to this projector now."""
        return self._assignment is not None and self._assignment.includes(_key_of(stream_id))

    async def take(self, records: Sequence[RawRecord]) -> None:
        """Catch up the streams that the keys of the records name.

        A record of an event that this projector has applied is no signal: it came after the hint.
        """
        streams = {
            stream
            for record in records
            if (stream := _stream_of(record)) is not None
            and not self._applied.has(stream, position_of(record.headers))
        }
        await self.catch_up(sorted(streams))

    async def sweep(self) -> None:
        """Catch up lagging streams forever, so that a lost Kafka record does no harm.

        Each sweep also tries to resume the streams that other code has stopped, once per applied
        version. Every 60th sweep stops the streams that are ahead of a restored log.
        """
        for sweep in count():
            if sweep % _SWEEPS_PER_AHEAD_CHECK == 0:
                await self._stop_ahead_streams(report_known=sweep == 0)
            await self._resume_streams_stopped_by_other_code()
            lagging = await self._do("projector: sweep", self._lagging)
            await self.catch_up(lagging)
            if len(lagging) < _SWEEP_LIMIT:
                await asyncio.sleep(self._sweep_seconds)

    async def catch_up(self, stream_ids: Sequence[UUID]) -> None:
        """Apply every event after the streams' applied versions, in whole outcomes.

        An event that cannot be applied stops its stream, with the error recorded; the other
        streams continue. Retries until the database is reachable, if this projector waits.
        """
        if not stream_ids:
            return
        try:
            await self._do("projector", lambda: self._catch_up_together(stream_ids))
        except Exception as error:
            if is_outage(error):
                raise
            if len(stream_ids) == 1:
                await self._stop(stream_ids[0], error)
                return
            logger.warning(
                "a batch failed and is applied again stream by stream: %s", describe_outage(error)
            )
            for stream_id in stream_ids:
                await self.catch_up([stream_id])

    async def _catch_up_together(self, stream_ids: Sequence[UUID]) -> None:
        while True:
            async with driver_transaction(self._engine) as connection:
                applied = await self._apply_next(connection, stream_ids)
            self._applied.note(applied.positions)
            if applied.is_all:
                return  # events that came meanwhile have their own signals

    async def _lagging(self) -> list[UUID]:
        async with self._engine.begin() as connection:
            await select_live_generation(connection)
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
            await select_live_generation(connection)
            found = await connection.execute(STOPPED_STREAMS)
            return {row.spreaview_event_id: row.error for row in found}

    async def _resume_streams_stopped_by_other_code(self) -> None:
        """Try to resume each stream that other code has stopped, once per applied version.

        The limit keeps two versions of the program, as in a rolling update, from retrying forever.
        """
        for stream_id, version in await self._do("projector: sweep", self._untried):
            logger.info(
                "trying to resume stream %s, which other code has stopped",
                stream_id,
                extra={"spreaview_event_id": stream_id},
            )
            self._tried.add((stream_id, version))
            await self._try_again(stream_id)

    async def _untried(self) -> list[tuple[UUID, int]]:
        async with self._engine.begin() as connection:
            await select_live_generation(connection)
            found = await connection.execute(
                STOPPED_BY_OTHERS, {"code_version": self._code_version}
            )
            return [
                (row.spreaview_event_id, row.version) for row in found if row not in self._tried
            ]

    async def _try_again(self, stream_id: UUID) -> None:
        """Resume a stream and apply its next events in one transaction, or stop it again.

        Other projectors see the stream as stopped until events have been applied.
        """

        async def apply_first() -> None:
            async with self._engine.begin() as connection:
                await select_live_generation(connection)
                await connection.execute(RESUME_STREAM, {"stream_id": stream_id})
                await self._apply_next(connection, [stream_id])

        try:
            await self._do("projector", apply_first)
        except Exception as error:
            if is_outage(error):
                raise
            await self._stop(stream_id, error)
        else:
            await self.catch_up([stream_id])

    async def _stop_ahead_streams(self, *, report_known: bool) -> None:
        """Stop the streams that are ahead of the log, and log those already stopped on request."""
        ahead = await self._do("projector: sweep", lambda: ahead_streams(self._engine))
        await self.catch_up([stream.stream_id for stream in ahead if not stream.stopped])
        known = sum(stream.stopped for stream in ahead)
        if known and report_known:
            logger.error(
                "ahead of the log, which was restored to an earlier time or replaced: %s. "
                "Remedy: spreaview-sync projections repair --ahead",
                counted(known, "stopped stream"),
            )

    async def _stop(self, stream_id: UUID, error: Exception) -> None:
        logger.error(
            "stream %s is stopped: %s",
            stream_id,
            describe_error(error),
            extra={"spreaview_event_id": stream_id},
        )

        async def record() -> int:
            async with self._engine.begin() as connection:
                await select_live_generation(connection)
                return await stop(connection, stream_id, error, self._code_version)

        version = await self._do("projector: recording a stopped stream", record)
        self._tried.add((stream_id, version))

    async def _do(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work, again and again during an outage if this projector waits."""
        done = retry_until_success(what, work, on=is_outage) if self._waits else work()
        return await done


class Applied(NamedTuple):
    """The new events of some streams that one call has applied."""

    positions: Mapping[UUID, int]
    """By stream: the position of its last applied event. Empty if they had no new events."""
    is_all: bool
    """Whether they had no more events when they were read."""


async def apply_next(
    connection: Executor,
    stream_ids: Sequence[UUID],
    *,
    limit: int = PAGE,
    code_version: str = CODE_VERSION,
    observer: Observer = UNOBSERVED,
) -> Applied:
    """Apply the next outcomes of some streams.

    The progress rows are created and locked before a separate statement reads the log, so a second
    projector sees the versions that the first has applied. A stream that is ahead of the log is
    stopped instead. The commit notifies the listeners of the channel `spreaview`.
    """
    await select_live_generation(connection)
    locked = await _lock_progress(connection, sorted(stream_ids))
    versions = {stream_id: version for stream_id, version, _ in locked}
    suspects = [stream_id for stream_id, _, may_be_ahead in locked if may_be_ahead]
    for stream_id, error in (await stop_ahead(connection, suspects, code_version)).items():
        logger.error(
            "stream %s is stopped: %s",
            stream_id,
            describe_error(error),
            extra={"spreaview_event_id": stream_id},
        )
        del versions[stream_id]
    page = await read_page_of_streams(connection, versions, limit=limit) if versions else None
    if page is None or not page.events:
        return Applied({}, is_all=True)
    with observer.batch("process", (event.metadata.get(TRACEPARENT) for event in page.events)):
        await write(connection, project(page.events), announced=True)
    positions = {event.stream_id: event.position for event in page.events}
    return Applied(positions, is_all=page.is_last)


async def _lock_progress(
    connection: Executor, stream_ids: Sequence[UUID]
) -> Sequence[tuple[UUID, int, bool]]:
    """Lock the progress rows of streams that have not stopped; create those that do not exist.

    One row is locked without creating it first, since it usually exists. Several rows are created
    first: a projector that creates a row while it holds others could deadlock with another one.
    """
    params = {"stream_ids": stream_ids}
    if len(stream_ids) == 1:
        locked = await _lock(connection, params)
        if locked:
            return locked
    await connection.execute(statements.CREATE_PROGRESS, params)
    return await _lock(connection, params)


async def _lock(
    connection: Executor, params: Mapping[str, Sequence[UUID]]
) -> Sequence[tuple[UUID, int, bool]]:
    """Return stream, version and whether it may be ahead of the log, of each row."""
    found: Sequence[tuple[UUID, int, bool]] = (
        await connection.execute(statements.LOCK_PROGRESS, params)
    ).all()
    return found


def is_outage(error: BaseException) -> bool:
    """Return whether the database is down, or has no read models or rights for us yet."""
    return is_database_outage(error) or isinstance(error, NoGenerationError | GenerationAccessError)


def _key_of(stream_id: UUID) -> bytes:
    return str(stream_id).encode()


def _stream_of(record: RawRecord) -> UUID | None:
    try:
        return UUID((record.key or b"").decode())
    except ValueError:
        logger.warning(
            "ignoring %s/%d@%d: its key is not the id of a SpreaView event",
            record.topic,
            record.partition,
            record.offset,
        )
        return None
