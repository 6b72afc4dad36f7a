"""Answering about one SpreaView event: freshness, entity tags, and bytes that are encoded once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.responses import Response

from projections.http.announcements import Announcements, Waiter
from projections.http.encoded import Encoded, EncodedCache, encoded
from projections.http.endpoint import UUID_SCHEMA, Call, Parameter
from projections.http.problem import ProblemError, not_found, not_yet
from projections.http.reading import SYNC_STATUS
from projections.http.shown import ShownEvent, read_shown

MAX_VERSION = 2**63 - 1
DEFAULT_WAIT_SECONDS = 10.0
MAX_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 1.0
"""Time between two looks without an announcement."""
_REPLICA_LOOK_SECONDS = 0.05
"""Time between two looks once the wanted version was announced: only a replica still lags."""
_UNANNOUNCED_LOOK_SECONDS = 0.1
"""Time between two looks for something whose event is not known yet."""

FRESHNESS = (
    Parameter(
        "wait_for_sync",
        "query",
        "Answer only when this sync has ended and is visible.",
        UUID_SCHEMA,
    ),
    Parameter(
        "min_version",
        "query",
        "Answer only when at least this version of the event's stream is visible.",
        {"type": "integer", "minimum": 0, "maximum": MAX_VERSION},
    ),
    Parameter(
        "Prefer", "header", "`wait=N`: wait at most N seconds (10 if not given, at most 60)."
    ),
    Parameter("If-None-Match", "header", "The ETag of an earlier answer: 304 if nothing changed."),
)

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
Build = Callable[[AsyncConnection, ShownEvent], Awaitable[S]]
Complete = Callable[[S, ShownEvent], Awaitable[S]]


class Wanted(NamedTuple):
    """The state that an answer must show at least, and how long to wait for it."""

    version: int
    sync_id: UUID | None
    until: float
    """On the clock of `time.monotonic`."""

    @property
    def is_nothing(self) -> bool:
        """Whether any state will do."""
        return self.version == 0 and self.sync_id is None


_NOTHING = Wanted(0, None, 0.0)


class Moment(NamedTuple):
    """A snapshot, and the state of an event in it."""

    connection: AsyncConnection
    event: ShownEvent


class Answers:
    """Answers queries from the read models, on the primary or on replicas.

    A wait ends in the snapshot that answers: the next connection may lead to another replica, which
    shows less.
    """

    def __init__(
        self, engine: AsyncEngine, announcements: Announcements, *, cache_bytes: int
    ) -> None:
        self._rows = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshots = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._announcements = announcements
        self._cache = EncodedCache(cache_bytes)
        self._erasures: str | None = None
        self._forgotten = 0
        """Number of times that every answer was dropped."""

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see one moment. It cannot write."""
        async with self._snapshots.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def moment(self, event_id: UUID, wanted: Wanted) -> AsyncIterator[Moment]:
        """A snapshot that shows the wanted state of an event, after waiting for it.

        Raises:
            ProblemError: not-yet if the state is not visible in time.
        """
        with self._announcements.waiting(event_id) as waiter:
            while True:
                async with self.snapshot() as connection:
                    event = await read_shown(connection, event_id)
                    if await _shows(connection, event_id, event, wanted):
                        yield Moment(connection, event)
                        return
                await waiter.wait(self._time_left(wanted, _look_after(waiter, event)))

    @asynccontextmanager
    async def fresh(self, call: Call, event_id: UUID) -> AsyncIterator[Moment]:
        """A snapshot that shows the version and the sync in the query.

        Raises:
            ProblemError: not-found if the token may not know of the event, not-yet if the wait
                was too short.
        """
        await self.refuse_foreign(call, event_id)
        async with self.moment(event_id, wanted_of(call)) as moment:
            _refuse_unknown(call, moment.event)
            yield moment

    async def shown(self, call: Call, event_id: UUID) -> ShownEvent:
        """Read the state of an event as in `fresh`, with one statement if it need not wait."""
        return await self._shown(call, event_id, wanted_of(call))

    async def event(
        self,
        call: Call,
        event_id: UUID,
        build: Build[S],
        *,
        complete: Complete[S] | None = None,
        variant: Hashable = None,
    ) -> Response:
        """Answer about an event: 304 if the caller has it, else the bytes of this version.

        Args:
            call: the request.
            event_id: the event.
            build: reads the answer in the snapshot.
            complete: adds whatever needs a connection of its own, after the snapshot has returned
                its connection: callers that hold one and wait for another would wait for each
                other.
            variant: distinguishes answers of one route; the path is part of the key already.
        """
        wanted = wanted_of(call)
        event = await self._shown(call, event_id, wanted)
        if matches(call, etag := event.etag):
            return not_modified(etag)
        self._forget_after_erasure(event)
        path = call.request.scope["path"]
        answer = self._cache.get((path, variant, event.key))
        if answer is None:
            forgotten = self._forgotten
            async with self.moment(event_id, wanted) as (connection, event):
                _refuse_unknown(call, event)
                found = await build(connection, event)
            if complete is not None:
                found = await complete(found, event)
            answer = encoded(msgspec.json.encode(found))
            if forgotten == self._forgotten:  # else the answer may hold the erased person
                self._cache.put((path, variant, event.key), answer)
        return respond(call, answer, event.etag)

    def forget(self) -> None:
        """Drop every encoded answer, as after an erasure; do not keep those in the making."""
        self._cache.clear()
        self._forgotten += 1

    async def find(self, call: Call, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Read something that names its event, until it is there or the wanted state is visible.

        Raises:
            ProblemError: not-yet if neither is in time.
        """
        wanted = wanted_of(call)
        while True:
            async with self.snapshot() as connection:
                found = await read(connection)
                if found is not None or wanted.is_nothing:
                    return found
                if wanted.sync_id is not None and await _has_ended(connection, wanted.sync_id):
                    return found
            await asyncio.sleep(self._time_left(wanted, _UNANNOUNCED_LOOK_SECONDS))

    async def refuse_foreign(self, call: Call, event_id: UUID) -> None:
        """Raise `ProblemError` if the event belongs to an organization the token may not see."""
        async with self._rows.connect() as connection:
            _refuse_foreign(call, await read_shown(connection, event_id))

    async def _shown(self, call: Call, event_id: UUID, wanted: Wanted) -> ShownEvent:
        async with self._rows.connect() as connection:
            event = await read_shown(connection, event_id)
        _refuse_foreign(call, event)
        if wanted.sync_id is not None or event.shown.version < wanted.version:
            async with self.moment(event_id, wanted) as (_, event):
                pass
        _refuse_unknown(call, event)
        return event

    def _time_left(self, wanted: Wanted, most: float) -> float:
        """Seconds until the next look. Raises `ProblemError` if the wait is over.

        A stop of the server ends it, too: otherwise it would cancel the request unanswered.
        """
        left = wanted.until - time.monotonic()
        if left > 0 and not self._announcements.are_over:
            return min(left, most)
        if wanted.sync_id is not None:
            raise not_yet(
                f"Sync {wanted.sync_id} has not ended yet, or its outcome is not visible yet"
            )
        raise not_yet(
            f"Version {wanted.version} is not visible yet. Ask again, or leave out min_version"
        )

    def _forget_after_erasure(self, event: ShownEvent) -> None:
        if self._erasures != event.erasures:
            self.forget()
            self._erasures = event.erasures


def wanted_of(call: Call) -> Wanted:
    """The state that the query asks for. Raises `ProblemError` for a wrong parameter."""
    version = call.query_number("min_version", least=0, most=MAX_VERSION) or 0
    sync_id = call.query_uuid("wait_for_sync")
    if not version and sync_id is None:
        return _NOTHING
    seconds = call.wait_seconds(MAX_WAIT_SECONDS)
    seconds = DEFAULT_WAIT_SECONDS if seconds is None else seconds
    return Wanted(version, sync_id, time.monotonic() + seconds)


def wanted_sync(sync_id: UUID, seconds: float) -> Wanted:
    """The visible outcome of a sync, within this many seconds."""
    return Wanted(0, sync_id, time.monotonic() + seconds)


def _unknown_event() -> ProblemError:
    return not_found("No SpreaView event with this id has been synced")


def _refuse_foreign(call: Call, event: ShownEvent) -> None:
    """An event of another organization looks like an unknown one."""
    if event.is_known and not call.access.includes(event.organization_id):
        raise _unknown_event()


def _refuse_unknown(call: Call, event: ShownEvent) -> None:
    _refuse_foreign(call, event)
    if not event.is_known:
        raise _unknown_event()


def matches(call: Call, etag: str) -> bool:
    """Whether the caller already has the answer with this tag."""
    given = call.request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def not_modified(etag: str, cache_control: str = "private, no-cache") -> Response:
    """The 304."""
    return Response(
        status_code=304,
        headers={"ETag": etag, "Cache-Control": cache_control, "Vary": _VARY},
    )


_VARY = "Accept-Encoding, Authorization, Cookie"


def respond(
    call: Call, answer: Encoded, etag: str | None, cache_control: str = "private, no-cache"
) -> Response:
    """An answer as JSON, compressed if the caller accepts it."""
    headers = {"Cache-Control": cache_control, "Vary": _VARY}
    if etag is not None:
        headers["ETag"] = etag
    if answer.gzipped is not None and accepts_gzip(call):
        return Response(
            answer.gzipped,
            media_type="application/json",
            headers=headers | {"Content-Encoding": "gzip"},
        )
    return Response(answer.body, media_type="application/json", headers=headers)


def accepts_gzip(call: Call) -> bool:
    """Whether the caller accepts a compressed answer."""
    for part in call.request.headers.get("accept-encoding", "").split(","):
        name, _, quality = part.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _shows(
    connection: AsyncConnection, event_id: UUID, event: ShownEvent, wanted: Wanted
) -> bool:
    if event.shown.version < wanted.version:
        return False
    return wanted.sync_id is None or await _has_ended(connection, wanted.sync_id, event_id)


async def _has_ended(
    connection: AsyncConnection, sync_id: UUID, event_id: UUID | None = None
) -> bool:
    """Whether the outcome of a sync is visible; of any event without `event_id`."""
    found = await connection.execute(SYNC_STATUS, {"event_id": event_id, "sync_id": sync_id})
    status = found.scalar_one_or_none()
    return status is not None and status != "running"


def _look_after(waiter: Waiter, event: ShownEvent) -> float:
    return _REPLICA_LOOK_SECONDS if waiter.version > event.shown.version else _LOOK_SECONDS
