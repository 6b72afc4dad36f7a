"""The query routes: schedule, rooms, sessions, speakers and syncs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from projections.http import reading
from projections.http.answering import Answers, matches, not_modified, respond
from projections.http.encoded import encoded
from projections.http.endpoint import UUID_SCHEMA, Call, Parameter
from projections.http.models import (
    Events,
    EventSummary,
    RoomNow,
    Rooms,
    RoomView,
    Schedule,
    SessionAnswer,
    SessionView,
    SpeakerAnswer,
    SpeakerSession,
    SyncRun,
    SyncRuns,
)
from projections.http.problem import ProblemError, bad_request, not_found, not_yet, reset
from projections.http.schedule import days_of, room_at
from projections.http.shown import Shown, ShownEvent

EVENT = Parameter("event_id", "path", "The SpreaView event.", UUID_SCHEMA)
PAGE = 50
MAX_PAGE = 500
_MAX_POSITION = 2**63 - 1

PAGING = (
    Parameter(
        "after",
        "query",
        "`next` of the page before; the first page without it.",
        {"type": "string", "pattern": "^[0-9]{1,19}$"},
    ),
    Parameter(
        "limit",
        "query",
        f"Rows of a page; {PAGE} if not given.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE},
    ),
)


class _Speaker(msgspec.Struct, frozen=True, kw_only=True):
    organization_id: UUID
    speaker_id: UUID
    sessionize_id: str
    first_name: str | None
    last_name: str | None
    full_name: str | None
    tag_line: str | None
    bio: str | None
    profile_picture: str | None
    links: list[dict[str, Any]] | None
    is_top_speaker: bool
    status: str


class Queries:
    """The handlers of the query routes."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def events(self, call: Call) -> Response:
        """The SpreaView events, the one that changed last first."""
        before, limit = page_of(call)
        async with self._answers.snapshot() as connection:
            await _refuse_beyond_the_head(connection, call, before)
            rows = await reading.read_rows(
                connection,
                reading.EVENTS,
                EventSummary,
                before=before,
                limit=limit + 1,
                organizations=call.access.listed,
            )
        events, next_ = rows[:limit], None
        if len(rows) > limit:
            next_ = str(events[-1].position)
        return _answer(call, Events(events=tuple(events), next=next_))

    async def schedule(self, call: Call) -> Response:
        """The schedule of an event."""
        event_id = call.path_uuid("event_id")
        withdrawn = "withdrawn" in call.query_choices("include", ("withdrawn",))

        async def build(connection: AsyncConnection, event: ShownEvent) -> Schedule:
            return await read_schedule(connection, event_id, event, withdrawn=withdrawn)

        return await self._answers.event(call, event_id, build, variant=withdrawn)

    async def rooms(self, call: Call) -> Response:
        """The rooms of an event."""
        event_id = call.path_uuid("event_id")

        async def build(connection: AsyncConnection, event: ShownEvent) -> Rooms:
            rooms = await reading.read_rooms(connection, event_id)
            return Rooms(shown=event.shown, spreaview_event_id=event_id, rooms=tuple(rooms))

        return await self._answers.event(call, event_id, build)

    async def room_now(self, call: Call) -> Response:
        """A room at one moment: now, or `at`."""
        event_id, room_id = call.path_uuid("event_id"), call.path_uuid("room_id")
        wanted = call.query_instant("at")
        async with self._answers.fresh(call, event_id) as (connection, event):
            rooms = await reading.read_rooms(connection, event_id)
            room = next((room for room in rooms if room.room_id == room_id), None)
            if room is None:
                raise not_found("The event has no such room")
            zone = await reading.read_zone(connection, event_id)
            sessions = await reading.read_sessions(
                connection, reading.SESSIONS_OF_ROOM, zone, event_id=event_id, room_id=room_id
            )
        now = datetime.now(UTC)
        answer = _room_now(event.shown, room, wanted or now, sessions)
        changes = answer.changes_at.timestamp() if answer.changes_at else 0
        etag = f'{event.etag[:-1]}-{answer.at.timestamp() if wanted else "now"}-{changes}"'
        cache_control = "private, no-cache" if wanted else _until(answer.changes_at, now)
        if matches(call, etag):
            return not_modified(etag, cache_control)
        return respond(call, encoded(msgspec.json.encode(answer)), etag, cache_control)

    async def session(self, call: Call) -> Response:
        """One session by its code, withdrawn ones, too."""
        code = call.path("session_code").upper()

        async def find(connection: AsyncConnection) -> UUID | None:
            found = await connection.execute(reading.EVENT_OF_CODE, {"code": code})
            return found.scalar_one_or_none()

        event_id = await self._answers.find(call, find)
        if event_id is None:
            raise not_found("There is no session with this code")

        async def build(connection: AsyncConnection, event: ShownEvent) -> SessionAnswer:
            zone = await reading.read_zone(connection, event_id)
            sessions = await reading.read_sessions(
                connection, reading.SESSION_BY_CODE, zone, event_id=event_id, code=code
            )
            if not sessions or event.organization_id is None:
                raise not_found("There is no session with this code")
            return SessionAnswer(
                shown=event.shown,
                spreaview_event_id=event_id,
                organization_id=event.organization_id,
                time_zone=zone.key,
                session=sessions[0],
            )

        return await self._answers.event(call, event_id, build)

    async def speaker(self, call: Call) -> Response:
        """A speaker of an organization, by our id or Sessionize's, with all sessions."""
        organization_id = call.path_uuid("organization_id")
        wanted = call.path("speaker_id")
        unknown = not_found("The organization has no such speaker")
        if not call.access.includes(organization_id):
            raise unknown
        async with self._answers.snapshot() as connection:
            speakers = await reading.read_rows(
                connection,
                reading.SPEAKER,
                _Speaker,
                organization_id=organization_id,
                speaker_id=_uuid_or_none(wanted),
                sessionize_id=wanted.lower(),
            )
            if not speakers:
                raise unknown
            sessions = await reading.read_rows(
                connection,
                reading.SESSIONS_OF_SPEAKER,
                SpeakerSession,
                organization_id=organization_id,
                speaker_id=speakers[0].speaker_id,
            )
        answer = SpeakerAnswer(**msgspec.structs.asdict(speakers[0]), sessions=tuple(sessions))
        return _answer(call, answer)

    async def syncs(self, call: Call) -> Response:
        """The runs of an event, the newest first."""
        event_id = call.path_uuid("event_id")
        before, limit = page_of(call)

        async def build(connection: AsyncConnection, event: ShownEvent) -> SyncRuns:
            await _refuse_beyond_the_head(connection, call, before)
            rows = await reading.read_rows(
                connection,
                reading.RUNS,
                SyncRun,
                event_id=event_id,
                before=before,
                limit=limit + 1,
                organizations=call.access.listed,
            )
            next_ = str(rows[limit - 1].position) if len(rows) > limit else None
            return SyncRuns(shown=event.shown, runs=tuple(rows[:limit]), next=next_)

        variant = before, limit, call.access.listed
        return await self._answers.event(call, event_id, build, variant=variant)


async def read_schedule(
    connection: AsyncConnection, event_id: UUID, event: ShownEvent, *, withdrawn: bool = False
) -> Schedule:
    """Read the schedule of an event that is known."""
    if event.organization_id is None:
        raise not_found("No SpreaView event with this id has been synced")
    completed = await reading.read_completed(connection, event_id)
    zone = await reading.read_zone(connection, event_id)
    sessions = await reading.read_sessions(
        connection, reading.SESSIONS_OF_EVENT, zone, event_id=event_id, withdrawn=withdrawn
    )
    return Schedule(
        shown=event.shown,
        spreaview_event_id=event_id,
        organization_id=event.organization_id,
        window=completed.window if completed else None,
        last_completed_sync=completed.sync_id if completed else None,
        days=days_of(sessions),
    )


def limit_of(call: Call) -> int:
    """The length of a page. Raises `ProblemError`."""
    return call.query_number("limit", least=1, most=MAX_PAGE) or PAGE


def page_of(call: Call) -> tuple[int, int]:
    """The position before which a page begins, and its length. Raises `ProblemError`."""
    limit = limit_of(call)
    after = call.query("after")
    if after is None:
        return _MAX_POSITION, limit
    if not (
        after.isascii() and after.isdecimal() and len(after) < 20 and int(after) <= _MAX_POSITION
    ):
        raise bad_request("after", "after is not the `next` of a page")
    return int(after), limit


def beyond_the_head(after: int, head: int) -> ProblemError:
    """The answer to an `after` that the log does not reach."""
    return reset(
        f"after names position {after}, beyond the head of the log, which is at {head}: it is not "
        "the `next` of a page, or the log was restored. Begin without after"
    )


async def _refuse_beyond_the_head(connection: AsyncConnection, call: Call, before: int) -> None:
    """Raise `ProblemError` if a page begins at a position that the log does not have yet.

    A replica cannot know whether it lags or the log was restored: `not-yet`, not `reset`.
    """
    if call.query("after") is None:
        return
    head = (await connection.execute(reading.HEAD)).one()
    if before <= head.position:
        return
    if head.is_of_replica:
        raise not_yet(
            f"after names position {before}, and the replica that answers has reached "
            f"{head.position}. Ask again. If this lasts, begin without after"
        )
    raise beyond_the_head(before, head.position)


def _room_now(
    shown: Shown,
    room: RoomView,
    at: datetime,
    sessions: Sequence[SessionView],
) -> RoomNow:
    moment = room_at(sessions, at)
    return RoomNow(shown=shown, room=room, at=at, **moment._asdict())


def _until(changes_at: datetime | None, now: datetime, most: int = 60) -> str:
    """May be kept until the answer changes by itself, but a sync may change it, too."""
    seconds = most if changes_at is None else int((changes_at - now).total_seconds())
    return f"private, max-age={max(0, min(seconds, most))}"


def _answer(call: Call, answer: msgspec.Struct) -> Response:
    return respond(call, encoded(msgspec.json.encode(answer)), None, "private, no-store")


def _uuid_or_none(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
