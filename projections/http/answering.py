"""Answering about one SpreaView event: freshness, entity tags, and bytes that are encoded once."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
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

Build = Callable[[AsyncConnection, ShownEvent], Awaitable[msgspec.Struct]]


class Answers:
    """Answers queries from the read models, on the primary or on a replica."""

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

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see one moment. It cannot write."""
        async with self._snapshots.connect() as connection, connection.begin():
            yield connection

    async def shown(self, call: Call, event_id: UUID) -> ShownEvent:
        """Read the state of an event, after waiting for the version or sync in the query.

        Raises:
            ProblemError: not-found if the token may not know of the event, not-yet if the wait
                was too short.
        """
        version = call.query_number("min_version", least=0, most=MAX_VERSION) or 0
        sync_id = call.query_uuid("wait_for_sync")
        async with self._rows.connect() as connection:
            event = await read_shown(connection, event_id)
            _refuse_foreign(call, event)
        if sync_id is not None or event.shown.version < version:
            event = await self._wait(call, event_id, version, sync_id)
            _refuse_foreign(call, event)
        if not event.is_known:
            raise _unknown_event()
        return event

    async def event(
        self, call: Call, event_id: UUID, build: Build, *, variant: Hashable = None
    ) -> Response:
        """Answer about an event: 304 if the caller has it, else the bytes of this version.

        `variant` distinguishes answers of one route; the path is part of the key already.
        """
        event = await self.shown(call, event_id)
        if matches(call, event.etag):
            return not_modified(event.etag)
        self._forget_after_erasure(event)
        path = call.request.scope["path"]
        answer = self._cache.get((path, variant, event.key))
        if answer is None:
            async with self.snapshot() as connection:
                event = await read_shown(connection, event_id)  # of this very moment
                body = msgspec.json.encode(await build(connection, event))
            answer = encoded(body)
            self._cache.put((path, variant, event.key), answer)
        return respond(call, answer, event.etag)

    def forget(self) -> None:
        """Drop every encoded answer, as after an erasure."""
        self._cache.clear()

    async def refuse_foreign(self, call: Call, event_id: UUID) -> None:
        """Raise `ProblemError` if the event belongs to an organization the token may not see."""
        async with self._rows.connect() as connection:
            _refuse_foreign(call, await read_shown(connection, event_id))

    async def ended(self, event_id: UUID, sync_id: UUID, seconds: float) -> ShownEvent | None:
        """Wait until the outcome of a sync is visible; None if it is not in time."""
        return await self._look(event_id, 0, sync_id, seconds)

    def _forget_after_erasure(self, event: ShownEvent) -> None:
        if self._erasures != event.erasures:
            self._cache.clear()
            self._erasures = event.erasures

    async def _wait(
        self, call: Call, event_id: UUID, version: int, sync_id: UUID | None
    ) -> ShownEvent:
        seconds = call.wait_seconds(MAX_WAIT_SECONDS)
        seconds = DEFAULT_WAIT_SECONDS if seconds is None else seconds
        event = await self._look(event_id, version, sync_id, seconds)
        if event is None:
            raise _too_early(version, sync_id)
        return event

    async def _look(
        self, event_id: UUID, version: int, sync_id: UUID | None, seconds: float
    ) -> ShownEvent | None:
        """Look until a version is visible and a sync has ended; None if it is not in time."""
        until = time.monotonic() + seconds
        with self._announcements.waiting(event_id) as waiter:
            while True:
                async with self.snapshot() as connection:
                    event = await read_shown(connection, event_id)
                    if event.shown.version >= version and (
                        sync_id is None or await _has_ended(connection, event_id, sync_id)
                    ):
                        return event
                left = until - time.monotonic()
                if left <= 0:
                    return None
                await waiter.wait(min(left, _look_after(waiter, event)))


def _unknown_event() -> ProblemError:
    return not_found("No SpreaView event with this id has been synced")


def _refuse_foreign(call: Call, event: ShownEvent) -> None:
    """An event of another organization looks like an unknown one."""
    if event.is_known and not call.access.includes(event.organization_id):
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


async def _has_ended(connection: AsyncConnection, event_id: UUID, sync_id: UUID) -> bool:
    found = await connection.execute(SYNC_STATUS, {"event_id": event_id, "sync_id": sync_id})
    status = found.scalar_one_or_none()
    return status is not None and status != "running"


def _look_after(waiter: Waiter, event: ShownEvent) -> float:
    return _REPLICA_LOOK_SECONDS if waiter.version > event.shown.version else _LOOK_SECONDS


def _too_early(version: int, sync_id: UUID | None) -> ProblemError:
    if sync_id is not None:
        return not_yet(f"Sync {sync_id} has not ended yet, or its outcome is not visible yet")
    return not_yet(f"Version {version} is not visible yet. Ask again, or leave out min_version")
