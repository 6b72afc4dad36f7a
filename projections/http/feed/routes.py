"""`GET /v1/import-events`: pages, long-poll, and the live feed."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import anyio
import msgspec
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from projections.http.answering import matches, not_modified, respond
from projections.http.encoded import encoded
from projections.http.endpoint import EVENT_STREAM, UUID_SCHEMA, Call, Endpoint, Parameter
from projections.http.feed.batch import Batch
from projections.http.feed.cursor import Cursor, parse_cursor, start_of
from projections.http.feed.ending import Ending
from projections.http.feed.frames import TYPES, Filter
from projections.http.feed.pages import PAGE, FeedReader
from projections.http.feed.stream import stream
from projections.http.feed.tail import LogTail
from projections.http.feed.timer import Timer
from projections.http.problem import ProblemError, ProblemType, bad_request, reset
from projections.http.tokens import Scope

MAX_WAIT_SECONDS = 60.0
SCAN_SECONDS = 2.0
"""A page looks for this long for an event that passes its filter; the next page continues."""
_OTHER_LOG = (
    "The cursor names an event that this log does not have: the log was restored or replaced. "
    "Forget what was read, and begin with after=start"
)
_SEND_SECONDS = 60.0
"""A client that reads nothing for this long is disconnected; it resumes from its cursor."""

Published = Annotated[
    dict[str, Any],
    msgspec.Meta(description="A CloudEvent in structured mode; docs/contract.md has the events."),
]


class ImportEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log."""

    log_id: UUID
    events: tuple[Published, ...]
    next: Annotated[str, msgspec.Meta(description="The cursor to send as `after` next time.")]
    caught_up: Annotated[bool, msgspec.Meta(description="Whether this page ends at the head.")]


class Feed:
    """The handler of the feed."""

    def __init__(
        self,
        tail: LogTail,
        reader: FeedReader,
        mismatch: Callable[[], Awaitable[str | None]],
        is_allowed: Callable[[Call], bool],
        stopping: anyio.Event,
        *,
        heartbeat_seconds: float,
        scan_seconds: float = SCAN_SECONDS,
    ) -> None:
        """Serve the feed from the tail and the log.

        Args:
            tail: the newest frames; it must be following the log.
            reader: reads what is older.
            mismatch: returns why the log must not be served, such as after a restore, or None.
            is_allowed: whether the token of a call still has the rights that it had.
            stopping: ends the open streams when the server stops.
            heartbeat_seconds: time between two heartbeats of a quiet stream.
            scan_seconds: time for which a page looks for an event that passes its filter.
        """
        self._tail = tail
        self._reader = reader
        self._mismatch = mismatch
        self._is_allowed = is_allowed
        self._stopping = stopping
        self._heartbeat_seconds = heartbeat_seconds
        self._scan_seconds = scan_seconds

    async def handle(self, call: Call) -> Response:
        """A page, or the live feed if the caller accepts `text/event-stream`."""
        wanted = _filter(call)
        if (reason := await self._mismatch()) is not None:
            raise ProblemError(ProblemType.UNAVAILABLE, reason, headers={"Retry-After": "60"})
        if EVENT_STREAM in call.request.headers.get("accept", ""):
            return await self._stream(call, wanted)
        return await self._page(call, wanted)

    async def _stream(self, call: Call, wanted: Filter) -> Response:
        given = call.request.headers.get("last-event-id") or call.query("after") or "head"
        epoch = self._tail.epoch
        cursor = self._cursor(given)
        if not (known := await self._reader.knows(cursor)):
            cursor = start_of(self._tail.log_id)
        # Here, so that a client that cannot be served gets the reason instead of a stream.
        first = await self._reader.next_batch(cursor, wanted)
        content = stream(
            self._tail,
            self._reader,
            cursor,
            wanted,
            is_allowed=partial(self._is_allowed, call),
            heartbeat_seconds=self._heartbeat_seconds,
            epoch=epoch,
            first=first,
            reset=not known,
        )
        response = EventSourceResponse(
            content,
            ping=0,
            send_timeout=_SEND_SECONDS,
            headers={"Cache-Control": "no-store", "Vary": "Accept, Authorization, Cookie"},
        )
        return Ending(response, self._stopping)

    async def _page(self, call: Call, wanted: Filter) -> Response:
        epoch = self._tail.epoch
        cursor = self._cursor(call.query("after") or "start")
        if not await self._reader.knows(cursor):
            raise reset(_OTHER_LOG)
        limit = call.query_number("limit", least=1, most=PAGE)
        seconds = call.wait_seconds(MAX_WAIT_SECONDS)
        batch = await self._first(cursor, wanted, limit, seconds)
        if not batch.frames and batch.at_head and seconds:
            batch = await self._wait(batch, wanted, seconds, limit, epoch)
        if self._tail.epoch != epoch:  # the batch may be of two logs
            raise reset(_OTHER_LOG)
        body = msgspec.json.encode(
            _Page(
                log_id=self._tail.log_id,
                events=tuple(msgspec.Raw(frame.json) for frame in batch.frames),
                next=str(batch.cursor),
                caught_up=batch.at_head,
            )
        )
        # Of the content: an erasure changes the tag of each page that held the person.
        etag = f'"{sha256(body).hexdigest()[:32]}"'
        return not_modified(etag) if matches(call, etag) else respond(call, encoded(body), etag)

    async def _first(
        self, cursor: Cursor, wanted: Filter, limit: int | None, seconds: float | None
    ) -> Batch:
        """The next batch with frames, or an empty one at the head.

        Also an empty one, further on, after `scan_seconds`, after `seconds` if the caller waits for
        less, or if the server stops.
        """
        timer = Timer(min(self._scan_seconds, seconds or self._scan_seconds))
        while True:
            batch = await self._reader.next_batch(cursor, wanted, limit=limit)
            is_over = timer.left <= 0 or self._stopping.is_set()
            if batch.frames or batch.at_head or is_over:
                return batch
            cursor = batch.cursor
            await asyncio.sleep(0)  # let the others have their turn

    async def _wait(
        self, batch: Batch, wanted: Filter, seconds: float, limit: int | None, epoch: int
    ) -> Batch:
        timer = Timer(seconds)
        with self._tail.subscribed(wanted.event_id) as subscription:
            while True:
                batch = await self._first(batch.cursor, wanted, limit, seconds)
                is_over = timer.left <= 0 or self._stopping.is_set() or self._tail.epoch != epoch
                if batch.frames or not batch.at_head or is_over:
                    return batch
                await subscription.wait(max(0, min(timer.left, 1.0)))

    def _cursor(self, text: str) -> Cursor:
        match text:
            case "head":
                return self._tail.head
            case "start":
                return start_of(self._tail.log_id)
        cursor = parse_cursor(text)
        if cursor is None:
            raise bad_request("after", "after is neither a cursor, nor start, nor head")
        return cursor


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """`ImportEvents` with the events as they are encoded already."""

    log_id: UUID
    events: tuple[msgspec.Raw, ...]
    next: str
    caught_up: bool


def _filter(call: Call) -> Filter:
    return Filter(
        event_id=call.query_uuid("event_id"),
        organization_id=call.query_uuid("organization_id"),
        types=call.query_choices("type", TYPES),
        allowed=call.access.organizations,
    )


def feed_endpoint(feed: Feed) -> Endpoint:
    """The endpoint."""
    return Endpoint(
        method="GET",
        path="/v1/import-events",
        name="listImportEvents",
        summary="The log as pages, or as a live feed (server-sent events), from one cursor.",
        scope=Scope.READ,
        handle=feed.handle,
        answers={200: ImportEvents, 304: None},
        parameters=(
            Parameter(
                "after",
                "query",
                "A cursor, `start` or `head`. Without it pages begin at the start, streams at the "
                "head.",
            ),
            Parameter("event_id", "query", "Only of this SpreaView event.", UUID_SCHEMA),
            Parameter("organization_id", "query", "Only of this organization.", UUID_SCHEMA),
            Parameter(
                "type",
                "query",
                "Only these events, separated by commas.",
                {"type": "string", "examples": ["session-imported,sync-completed"]},
            ),
            Parameter(
                "limit",
                "query",
                "A page ends with the outcome in which it reaches this many events; after about "
                "256 KiB if not given.",
                {"type": "integer", "minimum": 1, "maximum": PAGE},
            ),
            Parameter("Prefer", "header", "`wait=N`: a page waits at most N seconds for events."),
            Parameter(
                "If-None-Match", "header", "The ETag of a page: 304 if nothing in it changed."
            ),
            Parameter("Last-Event-ID", "header", "A stream resumes after this cursor."),
        ),
        problems=(ProblemType.RESET,),
        is_stream=True,
        tag="import events",
    )
